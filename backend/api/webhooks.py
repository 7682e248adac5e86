"""Webhooks over HTTP: register, change and remove addresses, see what was told to them, send again."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, url_for
from pydantic import BaseModel, ConfigDict, Field

from backend.api.answers import answer
from backend.api.guard import current_principal, open_to_all, requires
from backend.api.parse import body_as, query_as
from backend.clock import utc_now
from backend.jobs.moments import Moment
from backend.security.permissions import Permission
from backend.webhooks.deliveries import list_deliveries, redeliver, send_test
from backend.webhooks.endpoints import change, get_endpoint, list_endpoints, register, remove, rotate
from backend.webhooks.schemas import EndpointNew, EndpointPatch, PublicKey
from backend.webhooks.signing import current_signer

blueprint = Blueprint("webhooks", __name__)


class DeliveriesQuery(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid")

    before: Moment | None = Field(default=None, description="Only messages created before this moment.")
    limit: int = Field(default=50, ge=1, le=500)


@blueprint.post("/webhooks")
@requires(Permission.NOTIFY)
def register_() -> Response:
    """Register an address; its secret is in this answer only."""
    made = register(body_as(EndpointNew), account=current_principal().sees_jobs_of, now=utc_now())
    headers = {"Location": url_for("api.webhooks.get", endpoint_id=made.id)}
    return answer(made, status=HTTPStatus.CREATED, headers=headers)


@blueprint.get("/webhooks")
@requires(Permission.NOTIFY)
def list_() -> Response:
    """List the registered addresses."""
    return answer(list_endpoints(account=current_principal().sees_jobs_of))


@blueprint.get("/webhooks/key")
@open_to_all
def key() -> Response:
    """Return the public key that `v1a` signatures are verified with."""
    return answer(PublicKey(public_key=current_signer().public_key()))


@blueprint.get("/webhooks/<uuid:endpoint_id>")
@requires(Permission.NOTIFY)
def get(endpoint_id: UUID) -> Response:
    """Return one registered address, without its secret."""
    return answer(get_endpoint(endpoint_id))


@blueprint.patch("/webhooks/<uuid:endpoint_id>")
@requires(Permission.NOTIFY)
def change_(endpoint_id: UUID) -> Response:
    """Change an address, or what is told to it; disable or enable it."""
    return answer(change(endpoint_id, body_as(EndpointPatch)))


@blueprint.delete("/webhooks/<uuid:endpoint_id>")
@requires(Permission.NOTIFY)
def remove_(endpoint_id: UUID) -> Response:
    """Forget an address and what was told to it."""
    remove(endpoint_id)
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.post("/webhooks/<uuid:endpoint_id>/rotate")
@requires(Permission.NOTIFY)
def rotate_(endpoint_id: UUID) -> Response:
    """Give an address a new secret; it is in this answer only."""
    return answer(rotate(endpoint_id, now=utc_now()))


@blueprint.post("/webhooks/<uuid:endpoint_id>/test")
@requires(Permission.NOTIFY)
def test(endpoint_id: UUID) -> Response:
    """Send a test to an address."""
    return answer(send_test(endpoint_id), status=HTTPStatus.ACCEPTED)


@blueprint.get("/webhooks/<uuid:endpoint_id>/deliveries")
@requires(Permission.NOTIFY)
def deliveries(endpoint_id: UUID) -> Response:
    """List what was told to an address."""
    query = query_as(DeliveriesQuery)
    before: datetime | None = query.before
    return answer(list_deliveries(endpoint_id, before=before, limit=query.limit))


@blueprint.post("/webhooks/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/redeliver")
@requires(Permission.NOTIFY)
def redeliver_(endpoint_id: UUID, delivery_id: UUID) -> Response:
    """Send a message again."""
    return answer(redeliver(endpoint_id, delivery_id), status=HTTPStatus.ACCEPTED)
