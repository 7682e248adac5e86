"""Claims by many workers at once, on real databases: no job twice, none left."""

import threading
from collections import Counter
from datetime import timedelta
from uuid import UUID

from flask import Flask
from pydantic import BaseModel

from backend.errors import LeaseLost
from backend.jobs import finish
from backend.jobs.claim import Claim, claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.kinds import JobKind
from backend.jobs.reconcile import reconcile
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.views import get_job, list_jobs
from tests.unit.conftest import SilentDoorbell


class Nothing(BaseModel):
    pass


KIND = JobKind(
    name="test.nothing",
    path="/nothing",
    summary="Nothing",
    request=Nothing,
    result=Nothing,
    run=lambda _request, _context: Nothing(),
    timeout=5,
    retries=1,
    claims=7,
)
LEASE = timedelta(seconds=30)


def in_threads(app: Flask, count: int, target) -> None:
    def run(number: int) -> None:
        with app.app_context():
            target(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def a_context(app: Flask, job_id: UUID) -> JobContext:
    return JobContext(job_id=job_id, models=RecordingModels(app.extensions["models"]))


def test_eight_workers_claim_two_hundred_jobs_each_once(app: Flask):
    ids = [submit(KIND, Nothing()).id for _ in range(200)]
    claimed: list[Claim] = []

    def work(number: int) -> None:
        for job_id in ids[number::8]:
            claimed.extend(claim(KIND, job_id, worker=f"w{number}", lease=LEASE))

    in_threads(app, 8, work)
    assert Counter(one.job_id for one in claimed) == Counter(ids)
    assert {one.attempt for one in claimed} == {1}


def test_of_two_attempts_that_finish_together_one_is_fenced_off(app: Flask):
    job_id = submit(KIND, Nothing()).id
    (late,) = claim(KIND, job_id, worker="late", lease=timedelta(seconds=-1))
    reconcile(SilentDoorbell(), patience=timedelta())
    (fresh,) = claim(KIND, job_id, worker="fresh", lease=LEASE)
    refused = []

    def end(number: int) -> None:
        attempt = (late, fresh)[number]
        try:
            finish.succeed(attempt, Nothing(), a_context(app, job_id))
        except LeaseLost:
            refused.append(attempt)

    in_threads(app, 2, end)
    assert refused == [late]
    assert get_job(job_id).state is JobState.SUCCEEDED


def test_many_reconcilers_return_a_lost_job_once(app: Flask):
    job_id = submit(KIND, Nothing()).id
    claim(KIND, job_id, worker="lost", lease=timedelta(seconds=-1))
    returned = []
    in_threads(app, 6, lambda _: returned.append(reconcile(SilentDoorbell(), patience=timedelta()).leases_lost))
    assert sum(returned) == 1
    assert [job.state for job in list_jobs(state=None, kind=None, before=None, limit=5).jobs] == [JobState.QUEUED]
