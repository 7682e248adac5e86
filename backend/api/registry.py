"""Model versions over HTTP: bring them in, decide which is live, and see who decided what."""

from http import HTTPStatus

from flask import Blueprint, Response, current_app, request, url_for
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import UnsupportedMediaType

from backend.api.answers import answer
from backend.api.guard import acting, requires
from backend.api.parse import body_as, query_as
from backend.api.uploads import chunks_of_body
from backend.clock import utc_now
from backend.jobs.moments import Moment
from backend.registry import lookups, service
from backend.registry.live import LiveModels
from backend.registry.registry import current_registry
from backend.registry.rollout import Rollout, get_rollout
from backend.registry.versions import archive, get_version, list_versions, restore, tag
from backend.registry.views import VersionPage
from backend.security.permissions import Permission

blueprint = Blueprint("registry", __name__)


class Person(BaseModel):
    """Who acts."""

    model_config = ConfigDict(extra="forbid")

    by: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Who decides; kept in the ledger. Yourself, and nobody else where you show who you are.",
    )


class Decision(Person):
    """Who decides something, and why."""

    reason: str = Field(min_length=1, max_length=500, description="Kept in the ledger.")


class Promotion(Decision):
    """Which version an alias is to name."""

    version: str = Field(min_length=1, max_length=64)


class Tags(Person):
    """Tags to set, or to remove where they are null."""

    tags: dict[str, str | None]


class LiveQuery(BaseModel):
    """Of which moment to tell what was live."""

    model_config = ConfigDict(extra="forbid")

    at: Moment | None = Field(default=None, description="By default now.")


class LedgerQuery(BaseModel):
    """Which decisions to list."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    before_seq: int | None = Field(default=None, ge=1, le=2**63 - 1)
    limit: int = Field(default=50, ge=1, le=500)


@blueprint.post("/models/versions")
@requires(Permission.MANAGE_MODELS)
def register() -> Response:
    """Register the version that a zip holds, once it is verified."""
    if request.mimetype != "application/zip":
        raise UnsupportedMediaType("send a zip of manifest.json and its files, with Content-Type: application/zip")
    registry = current_registry()
    made = service.do_register(chunks_of_body(most=registry.max_bytes), by=acting(query_as(Person).by))
    location = url_for("api.registry.get", model=made.model, version=made.version)
    return answer(made, status=HTTPStatus.CREATED, headers={"Location": location})


@blueprint.get("/models/<model>/versions")
@requires(Permission.READ_MODELS)
def list_(model: str) -> Response:
    """List the versions of a model, the latest first."""
    live: LiveModels = current_app.extensions["live_models"]
    live.require(model)
    return answer(VersionPage(versions=list_versions(model)))


@blueprint.get("/models/<model>/versions/<version>")
@requires(Permission.READ_MODELS)
def get(model: str, version: str) -> Response:
    """Return one version."""
    return answer(get_version(model, version))


@blueprint.patch("/models/<model>/versions/<version>")
@requires(Permission.MANAGE_MODELS)
def tag_(model: str, version: str) -> Response:
    """Change the tags of a version."""
    asked = body_as(Tags)
    return answer(tag(model=model, version=version, tags=asked.tags, by=acting(asked.by), at=utc_now()))


@blueprint.post("/models/<model>/versions/<version>/archive")
@requires(Permission.MANAGE_MODELS)
def archive_(model: str, version: str) -> Response:
    """Put a version away; it cannot be promoted until it is restored."""
    asked = body_as(Decision)
    return answer(archive(model=model, version=version, by=acting(asked.by), reason=asked.reason, at=utc_now()))


@blueprint.post("/models/<model>/versions/<version>/restore")
@requires(Permission.MANAGE_MODELS)
def restore_(model: str, version: str) -> Response:
    """Take a version out of the archive."""
    asked = body_as(Decision)
    return answer(restore(model=model, version=version, by=acting(asked.by), reason=asked.reason, at=utc_now()))


@blueprint.post("/models/<model>/staging")
@requires(Permission.MANAGE_MODELS)
def stage(model: str) -> Response:
    """Let staging name a version."""
    asked = body_as(Promotion)
    service.do_stage(model, asked.version, by=acting(asked.by), reason=asked.reason)
    return answer(get_version(model, asked.version))


@blueprint.post("/models/<model>/production")
@requires(Permission.MANAGE_MODELS)
def promote(model: str) -> Response:
    """Let production name a version, and every process load it."""
    asked = body_as(Promotion)
    return answer(service.do_promote(model, asked.version, by=acting(asked.by), reason=asked.reason))


@blueprint.post("/models/<model>/rollback")
@requires(Permission.MANAGE_MODELS)
def rollback(model: str) -> Response:
    """Let production name what it named before."""
    asked = body_as(Decision)
    return answer(service.do_rollback(model, by=acting(asked.by), reason=asked.reason))


@blueprint.post("/models/<model>/reload")
@requires(Permission.MANAGE_MODELS)
def reload(model: str) -> Response:
    """Let every process load the production version anew."""
    asked = body_as(Decision)
    return answer(service.do_reload(model, by=acting(asked.by), reason=asked.reason))


@blueprint.post("/models/<model>/unload")
@requires(Permission.MANAGE_MODELS)
def unload(model: str) -> Response:
    """Serve no version of a model any more."""
    asked = body_as(Decision)
    return answer(service.do_unload(model, by=acting(asked.by), reason=asked.reason))


@blueprint.get("/models/<model>/rollout")
@requires(Permission.READ_MODELS)
def rollout(model: str) -> Response:
    """Say which process serves which version."""
    found: Rollout = get_rollout(current_registry(), model)
    return answer(found)


@blueprint.get("/models/<model>/live")
@requires(Permission.READ_MODELS)
def live(model: str) -> Response:
    """Say what was live at a moment, and who had decided it."""
    return answer(lookups.get_live_at(model, query_as(LiveQuery).at or utc_now()))


@blueprint.get("/models/ledger")
@requires(Permission.READ_MODELS)
def ledger() -> Response:
    """List decisions, the latest first."""
    query = query_as(LedgerQuery)
    return answer(lookups.list_entries(query.model, before_seq=query.before_seq, limit=query.limit))


@blueprint.get("/models/ledger/verification")
@requires(Permission.READ_MODELS)
def verify() -> Response:
    """Verify the chain of all decisions."""
    return answer(lookups.get_verified())
