"""Delivering one message: a job, so that its attempts, their pauses and its end are those of every job."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, select

from backend.errors import Unavailable, ValidationFailed
from backend.extensions import transaction
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from backend.jobs.tables import JOB
from backend.webhooks.addresses import current_networks, find_target
from backend.webhooks.client import post
from backend.webhooks.message import job_message, test_message
from backend.webhooks.signing import current_signer
from backend.webhooks.subscriptions import DELIVERY_KIND, current_subscriptions
from backend.webhooks.tables import WebhookDelivery, WebhookEndpoint

log = structlog.get_logger()

ROTATION = timedelta(hours=24)
"""How long messages are also signed with the secret before the current one."""

PAUSES = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds after the first, second … attempt: the schedule that the standard suggests, a little over three days."""


class DeliveryRequest(BaseModel):
    """Which message; what it says and where it goes is in the database."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: UUID


class Outcome(StrEnum):
    """What came of a message in the end."""

    DELIVERED = "delivered"
    GONE = "gone"  # the receiver wants no more
    DROPPED = "dropped"  # its endpoint is disabled or deleted


class DeliveryResult(BaseModel):
    """What came of a message."""

    outcome: Outcome
    status: int | None = Field(description="The HTTP status that was answered, if the message was sent.")


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one attempt found."""

    status: int | None = None
    error: str | None = None


def deliver(request: DeliveryRequest, context: JobContext) -> DeliveryResult:
    """Send one message and note what came of it; a worker that dies between the two sends it again.

    Raises:
        Unavailable: the receiver may not be called, did not answer, or answered with something else than a 2xx.
    """
    with context.read() as session:
        parcel = session.execute(_PARCEL.where(WebhookDelivery.id == request.delivery_id)).one_or_none()
    if parcel is None:
        return DeliveryResult(outcome=Outcome.DROPPED, status=None)
    if parcel.WebhookDelivery.delivered_at is not None:
        return DeliveryResult(outcome=Outcome.DELIVERED, status=None)
    endpoint: WebhookEndpoint | None = parcel.WebhookEndpoint
    now = context.clock()
    if endpoint is not None and not endpoint.enabled:
        _note(request.delivery_id, context.job_id, _Tried(error="not sent: the endpoint is disabled"), now)
        return DeliveryResult(outcome=Outcome.DROPPED, status=None)
    tried = _try(parcel, now)
    _note(request.delivery_id, context.job_id, tried, now)
    if tried.status == HTTPStatus.GONE:
        return DeliveryResult(outcome=Outcome.GONE, status=tried.status)
    if tried.error is not None:
        raise Unavailable(tried.error)
    return DeliveryResult(outcome=Outcome.DELIVERED, status=tried.status)


DELIVER_WEBHOOK = JobKind(
    name=DELIVERY_KIND,
    path=None,
    summary="Tell one receiver of the end of a job",
    request=DeliveryRequest,
    result=DeliveryResult,
    run=deliver,
    queue="outbound",  # receivers that hang hold up each other at most
    timeout=60,  # the resolver of the system may take half of it
    retries=len(PAUSES),
    backoff=PAUSES,
)

_PARCEL = (
    select(WebhookDelivery, WebhookEndpoint, JOB.c.kind, JOB.c.state, JOB.c.finished_at, JOB.c.callback)
    .outerjoin(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
    .outerjoin(JOB, JOB.c.id == WebhookDelivery.job_id)
)


def _try(parcel: Row[Any], now: datetime) -> _Tried:
    url = parcel.callback if parcel.WebhookEndpoint is None else parcel.WebhookEndpoint.url
    body = _body(parcel)
    headers = current_signer().headers(parcel.WebhookDelivery.id, body, at=now, secrets=_secrets(parcel, now))
    try:
        target = find_target(url, networks=current_networks())
        status = post(target, body, headers)
    except (ValidationFailed, Unavailable) as error:
        return _Tried(error=str(error))
    return _Tried(status, _refusal(target.host, status))


def _body(parcel: Row[Any]) -> bytes:
    delivery: WebhookDelivery = parcel.WebhookDelivery
    if delivery.job_id is None:
        return test_message(endpoint_id=parcel.WebhookEndpoint.id, at=delivery.created_at)
    return job_message(job_id=delivery.job_id, kind=parcel.kind, state=parcel.state, finished_at=parcel.finished_at)


def _secrets(parcel: Row[Any], now: datetime) -> tuple[str, ...]:
    """Return the secrets of the endpoint, the current one first; a callback shares none with us."""
    endpoint: WebhookEndpoint | None = parcel.WebhookEndpoint
    if endpoint is None:
        return ()
    versions = [endpoint.secret_version]
    if endpoint.rotated_at is not None and now < endpoint.rotated_at + ROTATION:
        versions.append(endpoint.secret_version - 1)
    return tuple(current_signer().endpoint_secret(endpoint.id, version) for version in versions)


def _refusal(host: str, status: int) -> str | None:
    """Return why an answer is no receipt; None for a 2xx."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"{host} answered {status}; redirects are not followed, so register the address it leads to"
    if status == HTTPStatus.GONE:
        return f"{host} answered {status}: it wants no more messages"
    return f"{host} answered {status}"


def _note(delivery_id: UUID, delivery_job_id: UUID, tried: _Tried, now: datetime) -> None:
    """Enter an attempt into the log; a 410 also disables the endpoint."""
    with transaction() as session:
        delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
        if delivery is None:  # deleted meanwhile, with its endpoint
            return
        delivery.attempts = [
            *delivery.attempts,
            {"at": now.isoformat(), "status": tried.status, "error": tried.error},
        ]
        delivery.delivery_job_id = delivery_job_id  # which may be a replay
        if tried.error is None:
            delivery.delivered_at = now
        gone = tried.status == HTTPStatus.GONE and delivery.endpoint_id is not None
        if gone and (endpoint := session.get(WebhookEndpoint, delivery.endpoint_id, with_for_update=True)):
            endpoint.enabled, endpoint.disabled_reason = False, f"answered 410 Gone at {now:%Y-%m-%dT%H:%M:%SZ}"
    if gone:
        current_subscriptions().forget()
        log.warning("webhook_disabled", endpoint_id=str(delivery.endpoint_id), reason="410 Gone")
