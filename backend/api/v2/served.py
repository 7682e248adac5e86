"""The version that answers a path."""

from flask import current_app
from werkzeug.exceptions import NotFound

from backend.errors import NotServed, UnknownModel
from backend.inference.client import ModelClient
from backend.inference.slots import PinnedModel


def current_models() -> ModelClient:
    """Return the models of the current application."""
    models: ModelClient = current_app.extensions["models"]
    return models


def served(models: ModelClient, model: str, version: str | None) -> PinnedModel:
    """Return the version of a model that is served, which must be `version` if the path names one.

    Raises:
        NotFound: there is no such model, none of its versions is served, or another one is.
        ArtifactError, Unavailable: it cannot be loaded.
    """
    try:
        pinned = models.pin(model)
    except (UnknownModel, NotServed) as error:
        raise NotFound(str(error)) from error
    if version not in (None, pinned.manifest.version):
        raise NotFound(f"version {version} of the model {model} is not served; {pinned.manifest.version} is")
    return pinned
