"""Claiming: queued jobs become this worker's, in one conditional UPDATE."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Uuid, bindparam, func, insert, or_, select, union_all, update
from sqlalchemy.sql.dml import ReturningUpdate

from backend.clock import utc_now
from backend.extensions import UtcDateTime, transaction
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState, Priority
from backend.jobs.tables import ATTEMPT, JOB


@dataclass(frozen=True, slots=True)
class Claim:
    """One job that this worker holds until its lease runs out; `attempt` fences everything it writes."""

    job_id: UUID
    attempt: int
    max_attempts: int
    request: dict[str, Any]
    checkpoint: dict[str, Any] | None
    parent_id: UUID | None
    queue: str
    priority: int
    finish_by: datetime | None
    notify: bool


def claim(kind: JobKind, job_id: UUID, *, worker: str, lease: timedelta) -> Sequence[Claim]:
    """Claim the job that was rung and, if the kind allows several, others of its kind: the most urgent first.

    The attempt is counted here, before any work, so that a job that kills its worker runs out of attempts.
    Returns nothing when another worker was faster, or the job was cancelled, has expired or may not start yet.
    """
    now = utc_now()
    limits = {"rung": job_id, "of_kind": kind.name, "now": now, "until": now + lease}
    if kind.claims > 1:
        limits["others"] = kind.claims - 1
    with transaction() as session:
        claims = [Claim(*row) for row in session.execute(_claim(several=kind.claims > 1), limits)]
        if claims:
            session.execute(
                insert(ATTEMPT),
                [{"job_id": c.job_id, "number": c.attempt, "worker": worker, "started_at": now} for c in claims],
            )
    return sorted(claims, key=lambda claimed: claimed.priority)


_URGENT = (
    select(JOB.c.id)
    .where(JOB.c.queue == bindparam("queue"), JOB.c.state == JobState.QUEUED, JOB.c.priority == Priority.URGENT)
    .where(JOB.c.available_at <= bindparam("now", type_=UtcDateTime))
    .limit(1)
)


def urgent_waits(queue: str) -> bool:
    """Return whether an urgent job waits for a worker of a queue."""
    with transaction(read_only=True) as session:
        return session.scalar(_URGENT, {"queue": queue, "now": utc_now()}) is not None


_CLAIMED = (
    *(JOB.c.id, JOB.c.attempt, JOB.c.max_attempts, JOB.c.request, JOB.c.checkpoint, JOB.c.parent_id),
    *(JOB.c.queue, JOB.c.priority, JOB.c.finish_by, JOB.c.notify),
)


@cache
def _claim(*, several: bool) -> ReturningUpdate[Any]:
    now, rung = bindparam("now", type_=UtcDateTime), bindparam("rung", type_=Uuid)
    ready = (
        JOB.c.kind == bindparam("of_kind"),
        JOB.c.state == JobState.QUEUED,
        JOB.c.available_at <= now,
        or_(JOB.c.start_by.is_(None), JOB.c.start_by > now, JOB.c.attempt > 0),
        or_(JOB.c.finish_by.is_(None), JOB.c.finish_by > now),
    )
    wanted = JOB.c.id == rung
    if several:
        # The rung job first, and only it is waited for: two who hold what the other has rung would wait for ever.
        first = select(JOB.c.id).where(JOB.c.id == rung, *ready).with_for_update().cte("first")
        others = (
            select(JOB.c.id)
            .where(JOB.c.id.not_in(select(first.c.id)), *ready)
            .order_by(JOB.c.priority, JOB.c.available_at)
            .limit(bindparam("others", type_=Integer))
            .with_for_update(skip_locked=True)
            .cte("others")
        )
        wanted = JOB.c.id.in_(union_all(select(first.c.id), select(others.c.id)))
    return (
        update(JOB)
        .where(wanted, *ready)
        .values(
            state=JobState.RUNNING,
            attempt=JOB.c.attempt + 1,
            lease_until=bindparam("until"),
            started_at=now,
            first_started_at=func.coalesce(JOB.c.first_started_at, now),
            progress=0.0,
            progress_note=None,
        )
        .returning(*_CLAIMED)
    )
