"""The log of deliveries, and sending by hand: again, or as a test."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Conflict, NotFound
from backend.extensions import transaction
from backend.jobs.states import UNFINISHED, JobState
from backend.jobs.submit import ring, store_job
from backend.jobs.tables import JOB
from backend.webhooks.deliver import DELIVER_WEBHOOK, DeliveryRequest
from backend.webhooks.dispatch import store_delivery
from backend.webhooks.endpoints import find_endpoint
from backend.webhooks.message import TEST_TYPE
from backend.webhooks.schemas import AttemptView, DeliveryPage, DeliveryState, DeliveryView
from backend.webhooks.tables import WebhookDelivery

_WITH_JOB = select(WebhookDelivery, JOB.c.state, JOB.c.available_at).join(
    JOB, JOB.c.id == WebhookDelivery.delivery_job_id
)


def list_deliveries(endpoint_id: UUID, *, before: datetime | None, limit: int) -> DeliveryPage:
    """Return the messages to one address, newest first.

    Raises:
        NotFound: there is no such address.
    """
    query = _WITH_JOB.where(WebhookDelivery.endpoint_id == endpoint_id)
    if before is not None:
        query = query.where(WebhookDelivery.created_at < before)
    with transaction(read_only=True) as session:
        find_endpoint(session, endpoint_id)
        rows = session.execute(query.order_by(WebhookDelivery.created_at.desc()).limit(limit + 1)).all()
    page = [_view(row) for row in rows[:limit]]
    return DeliveryPage(deliveries=page, next_before=page[-1].created_at if len(rows) > limit else None)


def redeliver(endpoint_id: UUID, delivery_id: UUID) -> DeliveryView:
    """Send a message again, at once and under its id, whatever came of it; the schedule of its attempts starts anew.

    Raises:
        NotFound: there is no such message to this address.
        Conflict: the address is disabled.
    """
    with transaction() as session:
        _check_enabled(session, endpoint_id)
        delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
        if delivery is None or delivery.endpoint_id != endpoint_id:
            raise NotFound("delivery", delivery_id)
        _withdraw(session, delivery.delivery_job_id)
        job = store_job(session, DELIVER_WEBHOOK, DeliveryRequest(delivery_id=delivery_id))
        delivery.delivery_job_id, delivery.delivered_at = job.id, None
    ring(job)
    return _get(delivery_id)


def send_test(endpoint_id: UUID) -> DeliveryView:
    """Send a message of type `webhook.test` to an address.

    Raises:
        NotFound: there is no such address.
        Conflict: the address is disabled.
    """
    with transaction() as session:
        _check_enabled(session, endpoint_id)
        delivery_id, job = store_delivery(session, endpoint_id=endpoint_id, job_id=None, type_=TEST_TYPE)
    ring(job)
    return _get(delivery_id)


def _check_enabled(session: Session, endpoint_id: UUID) -> None:
    if not find_endpoint(session, endpoint_id, for_update=True).enabled:
        raise Conflict(f"webhook {endpoint_id} is disabled; enable it first")


def _withdraw(session: Session, job_id: UUID) -> None:
    """Cancel an earlier job of the message that waits for its next attempt."""
    waits = update(JOB).where(JOB.c.id == job_id, JOB.c.state == JobState.QUEUED)
    now = utc_now()
    session.execute(waits.values(state=JobState.CANCELLED, cancel_requested_at=now, finished_at=now))


def _get(delivery_id: UUID) -> DeliveryView:
    with transaction(read_only=True) as session:
        return _view(session.execute(_WITH_JOB.where(WebhookDelivery.id == delivery_id)).one())


def _view(row: Row[Any]) -> DeliveryView:
    delivery: WebhookDelivery = row.WebhookDelivery
    return DeliveryView(
        id=delivery.id,
        type=delivery.type,
        state=_state(delivery, JobState(row.state)),
        job_id=delivery.job_id,
        delivery_job_id=delivery.delivery_job_id,
        created_at=delivery.created_at,
        delivered_at=delivery.delivered_at,
        next_try_at=row.available_at if row.state == JobState.QUEUED else None,
        attempts=[AttemptView.model_validate(attempt) for attempt in delivery.attempts],
    )


def _state(delivery: WebhookDelivery, job_state: JobState) -> DeliveryState:
    if delivery.delivered_at is not None:
        return DeliveryState.DELIVERED
    return DeliveryState.PENDING if job_state in UNFINISHED else DeliveryState.FAILED
