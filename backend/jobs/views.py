"""A job as clients see it, and the reads that produce it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, Select, bindparam, func, select
from sqlalchemy.orm import Session

from backend.errors import NotFound
from backend.extensions import transaction
from backend.jobs.states import FINAL, AttemptOutcome, JobState, Priority, Resolution, Urgency
from backend.jobs.tables import ATTEMPT, JOB, Job

_ATTEMPTS = select(ATTEMPT).where(ATTEMPT.c.job_id == bindparam("job")).order_by(ATTEMPT.c.number)
_JOB_BY_ID = select(JOB).where(JOB.c.id == bindparam("job"))


class JobError(BaseModel):
    """Why a job did not succeed, or why its last attempt did not."""

    code: str
    message: str


class Timing(BaseModel):
    """How long a job has taken, in seconds; null before there is anything to say."""

    queued: float | None = Field(description="From its submission until its first attempt began.")
    ran: float | None = Field(description="From the begin of its latest attempt until its end.")
    model: float | None = Field(description="What of that was waiting for models; jobs asked together share it.")


class JobView(BaseModel):
    """A job."""

    model_config = ConfigDict(title="Job")

    id: UUID
    kind: str
    state: JobState
    cancelling: bool = Field(description="A cancel was asked for and the worker has not agreed yet.")
    progress: float = Field(ge=0.0, le=1.0)
    progress_note: str | None
    attempt: int = Field(description="Attempts begun so far.")
    max_attempts: int
    priority: Urgency
    start_by: datetime | None = Field(description="The job is not begun after this.")
    finish_by: datetime | None = Field(description="The job delivers nothing after this.")
    parent_id: UUID | None = Field(description="The job that this one is a part of.")
    bulk_id: UUID | None = Field(description="The bulk that it was submitted in.")
    replay_of: UUID | None = Field(description="The dead letter whose request it took over.")
    created_at: datetime
    started_at: datetime | None = Field(description="When the latest attempt began.")
    finished_at: datetime | None
    timing: Timing
    error: JobError | None
    result: dict[str, Any] | None


class AttemptView(BaseModel):
    """One attempt at a job."""

    number: int
    worker: str
    started_at: datetime
    finished_at: datetime | None
    outcome: AttemptOutcome | None = Field(description="Null while it runs.")
    error: JobError | None


class JobDetail(JobView):
    """A job with every attempt at it."""

    model_config = ConfigDict(title="JobDetail")

    attempts: list[AttemptView]
    resolution: Resolution | None = Field(description="What was done about it, of a dead letter.")
    resolution_reason: str | None
    resolved_at: datetime | None


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobView]
    next_before: datetime | None = Field(description="Pass as `before` to get the next page; null on the last one.")


def view(job: Job | Row[Any], *, with_result: bool = True) -> JobView:
    """Return a job as clients see it."""
    return JobView(
        id=job.id,
        kind=job.kind,
        state=JobState(job.state),
        cancelling=job.cancel_requested_at is not None and job.state not in FINAL,
        progress=job.progress,
        progress_note=job.progress_note,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=Urgency[Priority(job.priority).name],
        start_by=job.start_by,
        finish_by=job.finish_by,
        parent_id=job.parent_id,
        bulk_id=job.bulk_id,
        replay_of=job.replay_of,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        timing=_timing(job),
        error=error_of(job),
        result=job.result if with_result else None,
    )


def _timing(job: Job | Row[Any]) -> Timing:
    queued = None if job.first_started_at is None else (job.first_started_at - job.created_at).total_seconds()
    ran = (job.finished_at - job.started_at).total_seconds() if job.started_at and job.finished_at else None
    return Timing(queued=queued, ran=ran, model=job.model_seconds)


def error_of(row: Any) -> JobError | None:  # noqa: ANN401 - a job or an attempt, mapped or as a row
    """Return the error of a job or of an attempt, if there is one."""
    return JobError(code=row.error_code, message=row.error_message or "") if row.error_code else None


def get_job_detail(job_id: UUID) -> JobDetail:
    """Return one job with its attempts.

    Raises:
        NotFound: there is no such job.
    """
    with transaction(read_only=True) as session:
        job = session.execute(_JOB_BY_ID, {"job": job_id}).one_or_none()
        rows = session.execute(_ATTEMPTS, {"job": job_id}).all()
    if job is None:
        raise NotFound("job", job_id)
    attempts = [
        AttemptView(
            number=row.number,
            worker=row.worker,
            started_at=row.started_at,
            finished_at=row.finished_at,
            outcome=row.outcome,
            error=error_of(row),
        )
        for row in rows
    ]
    return JobDetail(
        **view(job).model_dump(),
        attempts=attempts,
        resolution=job.resolution,
        resolution_reason=job.resolution_reason,
        resolved_at=job.resolved_at,
    )


def get_job(job_id: UUID) -> JobView:
    """Return one job.

    Raises:
        NotFound: there is no such job; an unknown id is never "pending".
    """
    with transaction(read_only=True) as session:
        job = session.execute(_JOB_BY_ID, {"job": job_id}).one_or_none()
    if job is None:
        raise NotFound("job", job_id)
    return view(job)


def list_jobs(
    *,
    state: JobState | None = None,
    kind: str | None = None,
    before: datetime | None = None,
    limit: int,
    parent_id: UUID | None = None,
    client: str | None = None,
) -> JobPage:
    """Return jobs, newest first, without their results: the parts of one job, or those that are part of none.

    With `client`, only the jobs that it submitted.
    """
    query = select(JOB).where(JOB.c.parent_id == parent_id)
    if client is not None:
        query = query.where(JOB.c.client == client)
    if state is not None:
        query = query.where(JOB.c.state == state)
    if kind is not None:
        query = query.where(JOB.c.kind == kind)
    if before is not None:
        query = query.where(JOB.c.created_at < before)
    with transaction(read_only=True) as session:
        rows, next_before = page_of(session, query, by=JOB.c.created_at, limit=limit)
    return JobPage(jobs=[view(row, with_result=False) for row in rows], next_before=next_before)


def page_of(
    session: Session, query: Select[Any], *, by: ColumnElement[datetime], limit: int
) -> tuple[Sequence[Row[Any]], datetime | None]:
    """Return the latest rows, and before which moment the next page is.

    What has the same moment, as the parts of a job or all that a lost worker held, is on one page: it may be longer
    than `limit`, so that nothing falls between two pages.
    """
    query = query.order_by(by.desc(), JOB.c.id)
    rows = session.execute(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, None
    last, beyond = (getattr(row, str(by.key)) for row in rows[-2:])
    page = rows[:limit] if beyond < last else session.execute(query.where(by >= last)).all()
    return page, last


def count_unfinished() -> dict[JobState, int]:
    """Return how many jobs are queued and running."""
    unfinished = (JobState.QUEUED, JobState.RUNNING)
    counted = select(Job.state, func.count()).where(Job.state.in_(unfinished)).group_by(Job.state)
    with transaction(read_only=True) as session:
        counts = {JobState(state): count for state, count in session.execute(counted)}
    return {state: counts.get(state, 0) for state in unfinished}
