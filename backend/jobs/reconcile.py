"""Bringing back what was lost: leases that ran out, and rings that the broker forgot; ending what is too late."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError
from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Expired
from backend.extensions import transaction
from backend.jobs.keys import forget_keys
from backend.jobs.kinds import current_kinds
from backend.jobs.news import current_news
from backend.jobs.parts import advance, waiting_jobs
from backend.jobs.ring import Doorbell, Ring, coalesced
from backend.jobs.states import AttemptOutcome, JobState
from backend.jobs.tables import Job, JobAttempt

log = structlog.get_logger()

RINGS_AT_ONCE = 1_000  # jobs looked at in one pass


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one pass did."""

    leases_lost: int
    rung: int
    expired: int


def reconcile(doorbell: Doorbell, *, patience: timedelta) -> Reconciled:
    """Return jobs whose lease ran out to the queue, ring for those that no message stands for, and look after parts.

    Jobs that wait and whose time has passed end here, and idempotency keys that have served are forgotten.
    A job is rung again when nobody claimed it for `patience` and the broker holds fewer messages than the waiting jobs
    need, so that a long backlog is not doubled. Any number of these may run at once.
    """
    lost = _return_lost(utc_now())
    expired = _expire(utc_now())
    rung = _ring(doorbell, patience)
    _advance_waiting()
    with transaction() as session:
        forget_keys(session, now=utc_now())
    if lost or rung or expired:
        log.info("reconciled", leases_lost=lost, rung=rung, expired=expired)
    return Reconciled(leases_lost=lost, rung=rung, expired=expired)


def _ring(doorbell: Doorbell, patience: timedelta) -> int:
    """Ring for jobs that no message stands for; returns for how many."""
    claims = {name: kind.claims for name, kind in current_kinds().items()}
    served: list[Ring] = []
    try:
        for queue, needed in _rings_needed(claims).items():
            forgotten = max(needed - doorbell.waiting(queue), 0)
            due = _due(queue, patience) if forgotten else []
            rings = coalesced(due, claims)
            for ring in rings[:forgotten]:
                doorbell.publish(ring.kind, ring.queue, ring.job_id, priority=ring.priority)
            # What stands before the first ring that was not sent is served by one that was.
            unsent = rings[forgotten:]
            served += due[: due.index(unsent[0])] if unsent else due
    except OperationalError as error:
        log.warning("reconcile_cannot_ring", error=type(error).__name__)
    _mark_rung([ring.job_id for ring in served])
    return len(served)


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


def _rings_needed(claims: Mapping[str, int]) -> Counter[str]:
    """Return for each queue how many messages its waiting jobs need."""
    group = (Job.queue, Job.kind, Job.priority)
    waiting = (
        select(*group, func.count()).where(Job.state == JobState.QUEUED, Job.available_at <= utc_now()).group_by(*group)
    )
    needed: Counter[str] = Counter()
    with transaction(read_only=True) as session:
        for queue, kind, _, count in session.execute(waiting):
            needed[queue] += ceil(count / claims.get(kind, 1))
    return needed


def _due(queue: str, patience: timedelta) -> list[Ring]:
    """Return a ring for each job that may start and was not rung lately, the most urgent first."""
    now = utc_now()
    due = (
        select(Job.kind, Job.queue, Job.priority, Job.id)
        .where(Job.queue == queue, Job.state == JobState.QUEUED, Job.available_at <= now)
        .where(or_(Job.rung_at.is_(None), Job.rung_at < now - patience))
        .order_by(Job.priority, Job.available_at)
        .limit(RINGS_AT_ONCE)
    )
    with transaction(read_only=True) as session:
        return [Ring(*row) for row in session.execute(due)]


def _mark_rung(job_ids: list[UUID]) -> None:
    if not job_ids:
        return
    rung = Job.id.in_(job_ids)
    with transaction() as session:
        # In the order of all who lock many: nobody waits for one who waits for them.
        session.execute(select(Job.id).where(rung).order_by(Job.id).with_for_update()).all()
        session.execute(update(Job).where(rung).values(rung_at=utc_now()))
