"""Claiming: queued jobs become this worker's, in one conditional UPDATE."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, or_, select, update

from backend.extensions import transaction
from backend.jobs.clock import utc_now
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState
from backend.jobs.tables import Job, JobAttempt


@dataclass(frozen=True, slots=True)
class Claim:
    """One job that this worker holds until its lease runs out; `attempt` fences everything it writes."""

    job_id: UUID
    attempt: int
    max_attempts: int
    request: dict[str, Any]


def claim(kind: JobKind, job_id: UUID, *, worker: str, lease: timedelta) -> Sequence[Claim]:
    """Claim the job that was rung and, if the kind allows several, the longest waiting others of its kind.

    The attempt is counted here, before any work, so that a job that kills its worker runs out of attempts.
    Returns nothing when another worker was faster, the job was cancelled or it may not start yet.
    """
    now = utc_now()
    ready = (Job.state == JobState.QUEUED, Job.available_at <= now)
    wanted = Job.id == job_id
    if kind.claims > 1:
        others = (
            select(Job.id)
            .where(Job.kind == kind.name, Job.id != job_id, *ready)
            .order_by(Job.available_at)
            .limit(kind.claims - 1)
            .with_for_update(skip_locked=True)
            .cte("others")
        )
        wanted = or_(wanted, Job.id.in_(select(others.c.id)))
    taken = (
        update(Job)
        .where(wanted, Job.kind == kind.name, *ready)
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            lease_until=now + lease,
            started_at=now,
            progress=0.0,
            progress_note=None,
        )
        .returning(Job.id, Job.attempt, Job.max_attempts, Job.request)
        .execution_options(synchronize_session=False)
    )
    with transaction() as session:
        claims = [Claim(*row) for row in session.execute(taken)]
        if claims:
            session.execute(
                insert(JobAttempt),
                [{"job_id": c.job_id, "number": c.attempt, "worker": worker, "started_at": now} for c in claims],
            )
    return claims
