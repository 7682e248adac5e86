"""From the ends of jobs to messages: each end becomes its deliveries in one transaction, exactly once."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, insert, select, text, true, update
from sqlalchemy.orm import Session

from backend.extensions import transaction
from backend.jobs.submit import ring, store_job
from backend.jobs.tables import JOB, Job
from backend.webhooks.deliver import DELIVER_WEBHOOK, DeliveryRequest
from backend.webhooks.message import event_type
from backend.webhooks.tables import DELIVERY, WebhookEndpoint

MOST_AT_ONCE = 200
"""Ends of jobs in one transaction, so that it stays short."""

# Word for word as the index says it: SQLite does not use a partial index otherwise, and reads every job.
_AWAITED = (text("job.notify IS TRUE"), JOB.c.finished_at.is_not(None))
_ANY = select(JOB.c.id).where(*_AWAITED).limit(1)
_ENDED = (
    select(JOB.c.id, JOB.c.kind, JOB.c.state, JOB.c.callback, JOB.c.client)
    .where(*_AWAITED)
    .order_by(JOB.c.finished_at)
    .with_for_update(skip_locked=True)
)
_ENABLED = (
    select(WebhookEndpoint)
    .where(WebhookEndpoint.enabled.is_(true()))
    .with_for_update(read=True, key_share=True)  # none is deleted before its deliveries are stored
)


def dispatch(*, limit: int = MOST_AT_ONCE) -> int:
    """Turn the ends of jobs that somebody awaits into deliveries; returns how many ends those were.

    Any number may run at once. What a process that dies here leaves is taken up by the next call.

    Raises:
        Unavailable: the database does not answer; nothing was announced.
    """
    with transaction(read_only=True) as session:
        if session.scalar(_ANY) is None:
            return 0
    with transaction() as session:
        ended = session.execute(_ENDED.limit(limit)).mappings().all()
        jobs = _announce(session, ended)
        announced = update(JOB).where(JOB.c.id.in_([job["id"] for job in ended]), JOB.c.notify.is_(true()))
        session.execute(announced.values(notify=False))
    for job in jobs:
        ring(job)
    return len(ended)


def store_delivery(session: Session, *, endpoint_id: UUID | None, job_id: UUID | None, type_: str) -> tuple[UUID, Job]:
    """Insert a delivery and the job that carries it out; the caller rings after its commit."""
    delivery_id = uuid4()
    job = store_job(session, DELIVER_WEBHOOK, DeliveryRequest(delivery_id=delivery_id))
    row: dict[str, Any] = {
        "id": delivery_id,
        "endpoint_id": endpoint_id,
        "type": type_,
        "job_id": job_id,
        "delivery_job_id": job.id,
        "created_at": job.created_at,
        "attempts": [],
    }
    session.execute(insert(DELIVERY), row)
    return delivery_id, job


def _announce(session: Session, ended: Sequence[RowMapping]) -> list[Job]:
    endpoints = session.scalars(_ENABLED).all()
    stored = []
    for job in ended:
        receivers: list[UUID | None] = [endpoint.id for endpoint in endpoints if _asks_for(endpoint, job)]
        if job["callback"] is not None:
            receivers.append(None)
        for receiver in receivers:
            _, delivery_job = store_delivery(
                session, endpoint_id=receiver, job_id=job["id"], type_=event_type(job["state"])
            )
            stored.append(delivery_job)
    return stored


def _asks_for(endpoint: WebhookEndpoint, job: RowMapping) -> bool:
    return (
        (endpoint.account is None or job["client"] == endpoint.account)
        and (endpoint.kinds is None or job["kind"] in endpoint.kinds)
        and (endpoint.states is None or job["state"] in endpoint.states)
    )
