"""Waiting for a job, as `Prefer: wait` asks for it."""

import time
from uuid import UUID

from backend.errors import Overloaded
from backend.jobs.news import Watch, current_news
from backend.jobs.states import FINAL
from backend.jobs.views import JobView, get_job, view

OWN_LOOK = 0.15  # seconds; without a row until then, there is no such job, or nobody who could hand its row out


def wait_for_job(job_id: UUID, *, seconds: float) -> JobView:
    """Return the job as soon as it is finished, or as it is after `seconds`; at once where too many wait already.

    Raises:
        NotFound: there is no such job.
    """
    try:
        with current_news().expected(job_id) as watch:
            return _wait(watch, seconds=seconds)
    except Overloaded:  # the wait was a preference: RFC 7240 allows to leave it
        return get_job(job_id)


def _wait(watch: Watch, *, seconds: float) -> JobView:
    deadline = time.monotonic() + seconds
    row = watch.next(min(seconds, OWN_LOOK))
    job = get_job(watch.job_id) if row is None else view(row)
    while job.state not in FINAL and (left := deadline - time.monotonic()) > 0:
        row = watch.next(left)
        if row is not None:
            job = view(row)
    return job
