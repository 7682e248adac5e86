"""News of jobs on a real broker: heard at once, found by looking when they were lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import event, update

from backend.app import create_app
from backend.clock import utc_now
from backend.extensions import Table, db, transaction
from backend.jobs.news import CHANNEL, FIRST_LOOK, LISTEN_AGAIN, News
from backend.jobs.states import JobState
from backend.jobs.tables import JOB, Job
from backend.settings import Settings
from tests.integration.conftest import Valkey
from tests.integration.stack import wait_until


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


def a_job(state: JobState = JobState.QUEUED) -> UUID:
    job_id, now = uuid4(), utc_now()
    with transaction() as session:
        job = Job(id=job_id, kind="a.b", queue="batch", state=state, request={}, max_attempts=1)
        job.created_at = job.available_at = now
        session.add(job)
    return job_id


def end(*job_ids: UUID) -> None:
    with transaction() as session:
        session.execute(update(JOB).where(JOB.c.id.in_(job_ids)).values(state=JobState.SUCCEEDED))


@pytest.fixture
def rarely_looked(monkeypatch) -> None:
    """News that are not heard are not found by looking either."""
    monkeypatch.setattr("backend.jobs.news.LOOK_EVERY", 60.0)


def test_what_another_process_tells_is_heard(app: Flask, settings: Settings, rarely_looked):
    news, job_id, other_id = app.extensions["news"], a_job(), a_job()
    with news.expected(job_id) as watch, news.expected(other_id) as other:
        assert watch.next(5).state == other.next(5).state == JobState.QUEUED
        end(job_id, other_id)
        assert watch.next(4 * FIRST_LOOK) is None
        News(settings).tell(job_id)
        assert watch.next(5).state == JobState.SUCCEEDED
        assert other.next(4 * FIRST_LOOK) is None


def test_many_who_wait_for_many_jobs_cost_a_few_queries(app: Flask, settings: Settings, rarely_looked):
    news, job_ids, queries = app.extensions["news"], [a_job() for _ in range(64)], []
    event.listen(db.engine, "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    with ExitStack() as places:
        watches = [places.enter_context(news.expected(job_id)) for job_id in job_ids]
        assert {watch.next(5).state for watch in watches} == {JobState.QUEUED}
        end(*job_ids)
        queries.clear()
        News(settings).tell(*job_ids)
        assert {watch.next(5).state for watch in watches} == {JobState.SUCCEEDED}
    assert len([query for query in queries if query.startswith("SELECT")]) == 1


def test_lost_news_are_found_by_looking(app: Flask):
    with app.extensions["news"].expected(job_id := a_job()) as watch:
        assert watch.next(5).state == JobState.QUEUED
        end(job_id)
        assert watch.next(5).state == JobState.SUCCEEDED


def test_without_a_broker_looking_goes_on_and_listening_returns_with_it(
    app: Flask, settings: Settings, valkey: Valkey, rarely_looked
):
    news, job_id = app.extensions["news"], a_job()
    with news.expected(job_id) as watch:
        assert watch.next(5).state == JobState.QUEUED
        valkey.stop()
        news.tell(job_id)  # costs the news, raises nothing
        end(job_id)
        assert watch.next(5).state == JobState.SUCCEEDED
    valkey.start()
    wait_until(lambda: News(settings)._redis.pubsub_numsub(CHANNEL)[0][1] == 1, seconds=10 * LISTEN_AGAIN)
    with news.expected(job_id := a_job()) as watch:
        assert watch.next(5).state == JobState.QUEUED
        end(job_id)
        news.tell(job_id)
        assert watch.next(5).state == JobState.SUCCEEDED
