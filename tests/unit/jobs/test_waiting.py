import threading
from contextlib import contextmanager
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from backend.errors import Overloaded
from backend.extensions import transaction
from backend.jobs import waiting
from backend.jobs.execute import execute
from backend.jobs.news import MOST_WAITING, Watch
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.tables import JOB
from backend.jobs.views import get_job
from backend.jobs.waiting import wait_for_job
from tests.unit.conftest import Number


@pytest.fixture
def own_looks(monkeypatch):
    """The jobs that a waiter read itself."""
    looks = []

    def look(job_id):
        looks.append(job_id)
        return get_job(job_id)

    monkeypatch.setattr(waiting, "get_job", look)
    return looks


def row_of(job_id):
    with transaction(read_only=True) as session:
        return session.execute(select(JOB).where(JOB.c.id == job_id)).one()


class Teller:
    """News that hand out rows when the test says so."""

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self.watched = threading.Event()

    @contextmanager
    def expected(self, job_id):
        self.watch = Watch(job_id)
        self.watched.set()
        yield self.watch


@pytest.fixture
def teller(app: Flask):
    teller = app.extensions["news"] = Teller()
    return teller


def test_a_job_whose_end_is_told_is_not_read_by_its_waiter(app, kind, worker, doorbell, own_looks):
    job = submit(kind, Number(value=4))
    execute(kind, job.id, worker)
    assert wait_for_job(job, seconds=5).result == {"value": 8}
    assert own_looks == [], "the listening thread looked after it"


def test_without_any_news_the_waiter_looks_once(kind, doorbell, teller, own_looks):
    job = submit(kind, Number())
    assert wait_for_job(job, seconds=0.3).state is JobState.QUEUED
    assert own_looks == [job.id]


def test_without_any_news_what_ended_is_found_at_the_end_of_the_wait(kind, worker, doorbell, teller, own_looks):
    job = submit(kind, Number(value=1))
    execute(kind, job.id, worker)
    assert wait_for_job(job, seconds=0.01).state is JobState.SUCCEEDED
    assert own_looks == [job.id]


def test_beyond_the_most_that_may_wait_nobody_waits(app, kind, doorbell):
    job, news = submit(kind, Number()), app.extensions["news"]
    places = [news.expected(uuid4()) for _ in range(MOST_WAITING)]
    for place in places:
        place.__enter__()
    with pytest.raises(Overloaded):
        wait_for_job(job, seconds=30)
    for place in places:
        place.__exit__(None, None, None)


def test_progress_does_not_end_a_wait_and_the_end_does(kind, worker, doorbell, teller, own_looks):
    job = submit(kind, Number(value=3))
    ended = []
    app_context = worker.leases._application

    def wait() -> None:
        with app_context():
            ended.append(wait_for_job(job, seconds=10))

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert teller.watched.wait(5)
    teller.watch.hand(row_of(job.id))
    execute(kind, job.id, worker)
    assert not ended
    teller.watch.hand(row_of(job.id))
    waiter.join(timeout=5)
    assert ended[0].result == {"value": 6}
    assert own_looks == []
