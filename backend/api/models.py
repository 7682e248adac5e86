"""The models over HTTP."""

from datetime import datetime

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, Field, JsonValue

from backend.api.answers import answer
from backend.api.guard import requires
from backend.inference.client import ModelClient
from backend.inference.tables import first_loaded
from backend.security.permissions import Permission

blueprint = Blueprint("models", __name__)


class ModelEntry(BaseModel):
    """One model of the catalogue, as its verified files say."""

    name: str
    version: str | None
    runtime: str | None
    sha256: str | None
    columns: list[str]
    metrics: dict[str, JsonValue] = Field(description="As measured when it was trained; see its card for the data.")
    first_loaded_at: datetime | None = Field(description="When a worker here first loaded this version.")
    error: str | None = Field(description="Why it cannot be served, null when it can.")


class ModelList(BaseModel):
    """The models of this installation."""

    models: list[ModelEntry]


@blueprint.get("/models")
@requires(Permission.READ_MODELS)
def list_() -> Response:
    """List the catalogue; every digest is verified anew."""
    client: ModelClient = current_app.extensions["models"]
    loaded = first_loaded()
    return answer(
        ModelList(
            models=[
                ModelEntry(
                    name=model.name,
                    version=model.version,
                    runtime=model.runtime,
                    sha256=model.sha256,
                    columns=list(model.columns),
                    metrics=dict(model.metrics),
                    first_loaded_at=loaded.get((model.name, model.sha256 or "")),
                    error=model.error,
                )
                for model in client.describe()
            ]
        )
    )
