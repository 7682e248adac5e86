"""News of jobs on a real broker: heard at once, found by looking when they were lost."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask

from backend.app import create_app
from backend.extensions import Table, db, transaction
from backend.jobs.clock import utc_now
from backend.jobs.news import LISTEN_AGAIN, LOOK_EVERY, News
from backend.jobs.states import JobState
from backend.jobs.tables import Job
from backend.settings import Settings
from tests.integration.conftest import Valkey


@pytest.fixture
def settings(tmp_path: Path, valkey: Valkey) -> Settings:
    return Settings(data_dir=tmp_path, broker_url=valkey.url, log_level="ERROR", _env_file=None)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings, domains=())
    with app.app_context():
        Table.metadata.create_all(db.engine)
        yield app
        db.engine.dispose()


def an_ended_job():
    job_id, now = uuid4(), utc_now()
    with transaction() as session:
        job = Job(id=job_id, kind="a.b", queue="batch", state=JobState.SUCCEEDED, request={}, max_attempts=1)
        job.created_at = job.available_at = now
        session.add(job)
    return job_id


def test_what_another_process_tells_is_heard(app: Flask, settings: Settings):
    job_id = uuid4()  # of no row: looking would not find it
    teller = News(settings)
    with app.extensions["news"].expected(job_id) as changed, app.extensions["news"].expected(uuid4()) as other:
        deadline = time.monotonic() + 5
        while not changed.wait(0.02):  # until the listener has subscribed
            teller.tell(job_id)
            assert time.monotonic() < deadline
        changed.clear()
        teller.tell(job_id)
        assert changed.wait(5)
        assert not other.is_set()


def test_lost_news_are_found_by_looking(app: Flask):
    with app.extensions["news"].expected(an_ended_job()) as changed:
        assert changed.wait(5 * LOOK_EVERY)


def test_without_a_broker_looking_goes_on_and_listening_returns_with_it(app: Flask, settings: Settings, valkey: Valkey):
    news = app.extensions["news"]
    with news.expected(an_ended_job()) as changed:
        assert changed.wait(5)
    valkey.stop()
    news.tell(uuid4())  # costs the news, raises nothing
    with news.expected(an_ended_job()) as changed:
        assert changed.wait(5)
    valkey.start()
    job_id, teller = uuid4(), News(settings)
    with news.expected(job_id) as changed:
        deadline = time.monotonic() + 10 * LISTEN_AGAIN
        while not changed.wait(0.05):
            teller.tell(job_id)
            assert time.monotonic() < deadline
