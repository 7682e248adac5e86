"""Submitting and cancelling: the row first, committed; then the ring."""

from uuid import UUID, uuid4

import structlog
from pydantic import BaseModel
from sqlalchemy import insert

from backend.errors import Conflict, NotFound
from backend.extensions import transaction
from backend.jobs.clock import utc_now
from backend.jobs.kinds import JobKind
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL, JobState
from backend.jobs.tables import JOB, Job
from backend.jobs.views import JobView, view

log = structlog.get_logger()


def submit(kind: JobKind, request: BaseModel) -> JobView:
    """Store a job and ring for it; the broker's state changes neither the answer nor its speed.

    Raises:
        InputError: a check of the kind refused the request; nothing was stored.
        Unavailable: the database does not answer; nothing was stored.
    """
    for check in kind.checks:
        check(request)
    now = utc_now()
    job_id = uuid4()
    job = {
        "id": job_id,
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
    with transaction() as session:
        session.execute(insert(JOB), job)
    current_doorbell().ring(kind.name, kind.queue, job_id)
    log.info("job_submitted", job_id=str(job_id), kind=kind.name)
    return view(Job(**job))


def cancel(job_id: UUID) -> JobView:
    """Cancel a queued job at once; ask the worker of a running one to stop.

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
        return view(job)
