"""Waiting for a job, as `Prefer: wait` asks for it."""

import time

from backend.jobs.news import current_news
from backend.jobs.states import FINAL
from backend.jobs.views import JobView, get_job, view


def wait_for_job(job: JobView, *, seconds: float) -> JobView:
    """Return a job as soon as it is finished, or as it is after `seconds`; its rows are handed out by the news.

    Raises:
        Overloaded: as many wait in this process as may.
    """
    deadline = time.monotonic() + seconds
    heard = False
    with current_news().expected(job.id) as watch:
        while job.state not in FINAL and (left := deadline - time.monotonic()) > 0:
            row = watch.next(left)
            if row is not None:
                job, heard = view(row), True
    return job if heard else get_job(job.id)
