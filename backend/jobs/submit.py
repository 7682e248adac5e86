"""Submitting and cancelling: the row first, committed; then the ring."""

from uuid import UUID, uuid4

import structlog
from pydantic import BaseModel
from sqlalchemy import insert
from sqlalchemy.orm import Session

from backend.errors import Conflict, NotFound
from backend.extensions import transaction
from backend.jobs.clock import utc_now
from backend.jobs.kinds import JobKind
from backend.jobs.parts import advance
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL, JobState
from backend.jobs.tables import JOB, Job
from backend.jobs.views import JobView, get_job, view

log = structlog.get_logger()


def submit(kind: JobKind, request: BaseModel, *, job_id: UUID | None = None) -> JobView:
    """Store a job, under an id that was chosen if there is one, and ring for it, whatever state the broker is in.

    Raises:
        InputError: a check of the kind refused the request; nothing was stored.
        Unavailable: the database does not answer; nothing was stored.
    """
    check_request(kind, request)
    with transaction() as session:
        job = store_job(session, kind, request, job_id=job_id)
    ring(job)
    return view(job)


def check_request(kind: JobKind, request: BaseModel) -> None:
    """Ask the checks of the kind; they may read the database, so not inside a transaction.

    Raises:
        InputError: one refused the request.
    """
    for check in kind.checks:
        check(request)


def store_job(session: Session, kind: JobKind, request: BaseModel, *, job_id: UUID | None = None) -> Job:
    """Insert a checked job in the caller's transaction; the caller rings after its commit."""
    now = utc_now()
    job = {
        "id": job_id or uuid4(),
        "kind": kind.name,
        "queue": kind.queue,
        "state": JobState.QUEUED,
        "request": request.model_dump(mode="json", exclude_unset=True),
        "progress": 0.0,
        "attempt": 0,
        "max_attempts": kind.max_attempts,
        "created_at": now,
        "available_at": now,
        "rung_at": now,
    }
    session.execute(insert(JOB), job)
    return Job(**job)


def ring(job: Job) -> None:
    """Ring for a job that is committed."""
    current_doorbell().ring(job.kind, job.queue, job.id)
    log.info("job_submitted", job_id=str(job.id), kind=job.kind)


def cancel(job_id: UUID) -> JobView:
    """Cancel a queued job at once; ask the worker of a running one, or of its parts, to stop.

    Raises:
        NotFound: there is no such job.
        Conflict: the job is already finished.
    """
    now = utc_now()
    with transaction() as session:
        job = session.get(Job, job_id, with_for_update=True)
        if job is None:
            raise NotFound("job", job_id)
        if job.state in FINAL:
            raise Conflict(f"job {job_id} is already {job.state}")
        job.cancel_requested_at = now
        if job.state == JobState.QUEUED:
            job.state, job.finished_at = JobState.CANCELLED, now
        waits = job.state == JobState.WAITING
    if waits:
        advance(job_id)
    return get_job(job_id)
