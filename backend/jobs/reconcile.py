"""Bringing back what was lost: leases that ran out, and rings that the broker forgot; ending what is too late."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError
from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from backend.errors import Expired
from backend.extensions import transaction
from backend.jobs.clock import utc_now
from backend.jobs.keys import forget_keys
from backend.jobs.news import current_news
from backend.jobs.parts import advance, waiting_jobs
from backend.jobs.ring import Doorbell
from backend.jobs.states import AttemptOutcome, JobState
from backend.jobs.tables import Job, JobAttempt

log = structlog.get_logger()

RINGS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one pass did."""

    leases_lost: int
    rung: int
    expired: int


def reconcile(doorbell: Doorbell, *, patience: timedelta) -> Reconciled:
    """Return jobs whose lease ran out to the queue, ring for those that no message stands for, and look after parts.

    Jobs that wait and whose time has passed end here, and idempotency keys that have served are forgotten.
    A job is rung again when nobody claimed it for `patience` and the broker holds fewer messages than jobs wait, so
    that a long backlog is not doubled. Any number of these may run at once.
    """
    lost = _return_lost(utc_now())
    expired = _expire(utc_now())
    rung: list[UUID] = []
    try:
        for queue, waiting in _waiting_by_queue().items():
            forgotten = waiting - doorbell.waiting(queue)
            if forgotten <= 0:
                continue
            for kind, job_id, priority in _due(queue, patience, limit=min(forgotten, RINGS_AT_ONCE)):
                doorbell.publish(kind, queue, job_id, priority=priority)
                rung.append(job_id)
    except OperationalError as error:
        log.warning("reconcile_cannot_ring", error=type(error).__name__)
    _mark_rung(rung)
    _advance_waiting()
    with transaction() as session:
        forget_keys(session, now=utc_now())
    if lost or rung or expired:
        log.info("reconciled", leases_lost=lost, rung=len(rung), expired=expired)
    return Reconciled(leases_lost=lost, rung=len(rung), expired=expired)


def _return_lost(now: datetime) -> int:
    expired = (Job.state == JobState.RUNNING, Job.lease_until < now)
    used_up = Job.attempt >= Job.max_attempts
    asked = Job.cancel_requested_at.is_not(None)
    ended = or_(used_up, asked)
    # A row that is locked is being finished just now, or its worker stopped in the middle of that: the next pass.
    free = select(Job.id).where(*expired).with_for_update(skip_locked=True).cte("free")
    with transaction() as session:
        lost = session.execute(
            update(Job)
            .where(Job.id.in_(select(free.c.id)), *expired)
            .values(
                state=case((asked, JobState.CANCELLED), (used_up, JobState.DEAD), else_=JobState.QUEUED),
                error_code=case((asked, None), else_="worker_lost"),
                error_message=case((asked, None), else_="the worker that ran this job disappeared"),
                finished_at=case((ended, now), else_=None),
                lease_until=None,
                rung_at=None,
                available_at=now,
            )
            .returning(Job.id, Job.attempt)
            .execution_options(synchronize_session=False)
        ).all()
        for job_id, attempt in lost:
            _mark_lost(session, job_id, attempt, now)
    return len(lost)


def _expire(now: datetime) -> int:
    """End the queued jobs that were not begun or cannot be finished in time."""
    unbegun = and_(Job.start_by <= now, Job.attempt == 0)
    late = (Job.state == JobState.QUEUED, or_(unbegun, Job.finish_by <= now))
    free = select(Job.id).where(*late).with_for_update(skip_locked=True).cte("free")
    too_late = case(
        (unbegun, "the job was not begun by its start_by"), else_="the job was not finished by its finish_by"
    )
    with transaction() as session:
        ended = session.execute(
            update(Job)
            .where(Job.id.in_(select(free.c.id)), *late)
            .values(
                state=JobState.EXPIRED,
                error_code=Expired.code,
                error_message=too_late,
                finished_at=now,
            )
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        ).all()
    current_news().tell(*(job_id for (job_id,) in ended))
    return len(ended)


def _advance_waiting() -> None:
    """Move jobs on whose parts have ended; nobody did when the process that ended one died right after."""
    with transaction(read_only=True) as session:
        waiting = waiting_jobs(session)
    for job_id in waiting:
        advance(job_id)


def _mark_lost(session: Session, job_id: UUID, attempt: int, now: datetime) -> None:
    session.execute(
        update(JobAttempt)
        .where(JobAttempt.job_id == job_id, JobAttempt.number == attempt, JobAttempt.outcome.is_(None))
        .values(outcome=AttemptOutcome.LOST, finished_at=now, error_code="worker_lost")
    )


def _waiting_by_queue() -> dict[str, int]:
    waiting = (
        select(Job.queue, func.count())
        .where(Job.state == JobState.QUEUED, Job.available_at <= utc_now())
        .group_by(Job.queue)
    )
    with transaction(read_only=True) as session:
        return {queue: int(count) for queue, count in session.execute(waiting)}


def _due(queue: str, patience: timedelta, *, limit: int) -> list[tuple[str, UUID, int]]:
    """Return kind, id and priority of jobs that may start and were not rung lately, the most urgent first."""
    now = utc_now()
    due = (
        select(Job.kind, Job.id, Job.priority)
        .where(Job.queue == queue, Job.state == JobState.QUEUED, Job.available_at <= now)
        .where(or_(Job.rung_at.is_(None), Job.rung_at < now - patience))
        .order_by(Job.priority, Job.available_at)
        .limit(limit)
    )
    with transaction(read_only=True) as session:
        return [(kind, job_id, priority) for kind, job_id, priority in session.execute(due)]


def _mark_rung(job_ids: list[UUID]) -> None:
    if not job_ids:
        return
    rung = Job.id.in_(job_ids)
    with transaction() as session:
        # In the order of all who lock many: nobody waits for one who waits for them.
        session.execute(select(Job.id).where(rung).order_by(Job.id).with_for_update()).all()
        session.execute(update(Job).where(rung).values(rung_at=utc_now()))
