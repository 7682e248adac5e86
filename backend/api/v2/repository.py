"""The models, and deciding whether they are served (Triton's model repository extension)."""

from flask import Blueprint, Response

from backend.api.answers import answer
from backend.api.guard import acting, requires
from backend.api.parse import whole_body
from backend.api.v2.messages import Model, parse
from backend.api.v2.schemas import Decided, Index, IndexEntry, IndexRequest, RepositoryRequest
from backend.api.v2.served import current_models, served
from backend.errors import FieldError, ValidationFailed
from backend.registry.rollout import Rollout
from backend.registry.service import do_load, do_unload
from backend.security.permissions import Permission

REASON = "asked for over the model repository API"

blueprint = Blueprint("v2_repository", __name__)


@blueprint.post("/repository/index")
@requires(Permission.READ_MODELS)
def index() -> Response:
    """List the models; the files of those that are not in memory are verified anew."""
    asked = _parsed(IndexRequest)
    entries = [
        IndexEntry(
            name=model.name,
            version=model.version or "",
            state="UNAVAILABLE" if model.error else "READY",
            reason=model.error or "",
        )
        for model in current_models().describe()
    ]
    return answer(Index([one for one in entries if one.state == "READY" or not asked.ready]))


@blueprint.post("/repository/models/<model>/load")
@requires(Permission.MANAGE_MODELS)
def load(model: str) -> Response:
    """Serve a model: its production version, loaded anew, or the one that was unloaded."""
    asked = _parsed(RepositoryRequest)
    if asked.parameters:
        raise ValidationFailed((FieldError("parameters", "a model is loaded as it was registered, without any"),))
    rollout = do_load(model, by=acting(None), reason=REASON)
    models = current_models()
    models.look()  # so that the client's next request meets it here
    served(models, model, None)
    return _decided(rollout)


@blueprint.post("/repository/models/<model>/unload")
@requires(Permission.MANAGE_MODELS)
def unload(model: str) -> Response:
    """Decide that no version of a model is served."""
    _parsed(RepositoryRequest)  # `unload_dependents`, which Triton's client sends: no model has any
    rollout = do_unload(model, by=acting(None), reason=REASON)
    current_models().look()
    return _decided(rollout)


def _decided(rollout: Rollout) -> Response:
    return answer(Decided(name=rollout.model, summary=rollout.summary))


def _parsed(schema: type[Model]) -> Model:
    """Return the body, which may be left out."""
    return parse(schema, whole_body() or b"{}")
