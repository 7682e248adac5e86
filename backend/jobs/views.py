"""A job as clients see it, and the reads that produce it."""

import time
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, bindparam, func, select

from backend.errors import NotFound
from backend.extensions import transaction
from backend.jobs.news import current_news
from backend.jobs.states import FINAL, JobState
from backend.jobs.tables import JOB, Job

FIRST_LOOK = 0.05  # seconds; what ended before anybody listened is seen after this, what ends sooner tells so

_JOB_BY_ID = select(JOB).where(JOB.c.id == bindparam("job"))


class JobError(BaseModel):
    """Why a job did not succeed, or why its last attempt did not."""

    code: str
    message: str


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
    parent_id: UUID | None = Field(description="The job that this one is a part of.")
    created_at: datetime
    started_at: datetime | None = Field(description="When the latest attempt began.")
    finished_at: datetime | None
    error: JobError | None
    result: dict[str, Any] | None


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
        parent_id=job.parent_id,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        error=JobError(code=job.error_code, message=job.error_message or "") if job.error_code else None,
        result=job.result if with_result else None,
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


def wait_for_job(job_id: UUID, *, seconds: float) -> JobView:
    """Return the job as soon as it is finished, or as it is after `seconds`.

    Raises:
        NotFound: there is no such job.
    """
    deadline = time.monotonic() + seconds
    with current_news().expected(job_id) as changed:
        changed.wait(min(seconds, FIRST_LOOK))
        while True:
            changed.clear()
            job = get_job(job_id)
            left = deadline - time.monotonic()
            if job.state in FINAL or left <= 0:
                return job
            changed.wait(left)


def list_jobs(
    *, state: JobState | None, kind: str | None, before: datetime | None, limit: int, parent_id: UUID | None = None
) -> JobPage:
    """Return jobs, newest first, without their results: the parts of one job, or those that are part of none."""
    query = select(Job).where(Job.parent_id == parent_id).order_by(Job.created_at.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(Job.state == state)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if before is not None:
        query = query.where(Job.created_at < before)
    with transaction(read_only=True) as session:
        jobs = list(session.scalars(query))
    page = [view(job, with_result=False) for job in jobs[:limit]]
    return JobPage(jobs=page, next_before=page[-1].created_at if len(jobs) > limit else None)


def count_unfinished() -> dict[JobState, int]:
    """Return how many jobs are queued and running."""
    unfinished = (JobState.QUEUED, JobState.RUNNING)
    counted = select(Job.state, func.count()).where(Job.state.in_(unfinished)).group_by(Job.state)
    with transaction(read_only=True) as session:
        counts = {JobState(state): count for state, count in session.execute(counted)}
    return {state: counts.get(state, 0) for state in unfinished}
