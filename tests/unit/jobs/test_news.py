import os
from contextlib import ExitStack
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import event

from backend.clock import utc_now
from backend.errors import Overloaded, Unavailable
from backend.extensions import db, transaction
from backend.jobs.claim import claim
from backend.jobs.context import JobContext
from backend.jobs.news import MOST_WAITING, News, Watch, _announced
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.tables import Job
from tests.unit.conftest import LEASE, Number


def a_row(**changed):
    row = {"id": uuid4(), "state": "running", "attempt": 1, "progress": 0.5, "progress_note": None}
    return SimpleNamespace(**(row | {"cancel_requested_at": None} | changed))


@pytest.fixture
def news(app: Flask) -> News:
    """News that nobody listens to: tests look themselves."""
    news: News = app.extensions["news"]
    news._pid, news._listening = os.getpid(), True
    return news


def a_stored_job(state: JobState = JobState.SUCCEEDED):
    job_id, now = uuid4(), utc_now()
    with transaction() as session:
        job = Job(id=job_id, kind="test.double", queue="interactive", state=state, request={}, max_attempts=1)
        job.created_at = job.available_at = now
        session.add(job)
    return job_id


@pytest.fixture
def selects(app: Flask):
    said: list[str] = []

    def note(_connection, _cursor, statement, *_):
        if statement.startswith("SELECT"):
            said.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield said
    event.remove(db.engine, "before_cursor_execute", note)


def test_a_waiter_is_woken_with_the_row():
    watch, row = Watch(uuid4()), a_row()
    watch.hand(row)
    assert watch.next(0) is row


def test_a_waiter_that_knows_the_row_is_not_woken_by_it_again():
    watch = Watch(uuid4())
    watch.hand(a_row())
    assert watch.next(0) is not None
    watch.hand(a_row())
    assert watch.next(0) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "succeeded"},
        {"attempt": 2},
        {"progress": 0.6},
        {"progress_note": "half"},
        {"cancel_requested_at": utc_now()},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_waiter_is_woken_by_each_thing_that_may_change(changed):
    watch, after = Watch(uuid4()), a_row(**changed)
    watch.hand(a_row())
    watch.next(0)
    watch.hand(after)
    assert watch.next(0) is after


def test_only_the_newest_row_is_kept_for_a_waiter_that_is_slow():
    watch, newest = Watch(uuid4()), a_row(progress=0.9)
    watch.hand(a_row())
    watch.hand(newest)
    assert watch.next(0) is newest
    assert watch.next(0) is None


def test_one_query_serves_all_who_wait(news: News, selects):
    job_ids = [a_stored_job() for _ in range(MOST_WAITING)]
    places = [news.expected(job_id) for job_id in job_ids]
    watches = [place.__enter__() for place in places]
    news._look()
    assert [watch.next(0).id for watch in watches] == job_ids
    assert len(selects) == 1
    for place in places:
        place.__exit__(None, None, None)


def test_those_who_wait_for_the_same_job_all_get_its_row(news: News):
    job_id = a_stored_job()
    with news.expected(job_id) as one, news.expected(job_id) as other:
        news._look({job_id})
        assert one.next(0) is other.next(0)


def test_a_row_has_what_clients_see_and_not_what_may_be_large(news: News):
    with news.expected(a_stored_job()) as watch:
        news._look()
        columns = set(watch.next(0)._fields)
    assert {column.name for column in Job.__table__.columns} - columns == {"request", "checkpoint"}


def test_news_of_jobs_that_nobody_waits_for_cost_no_query(news: News, selects):
    with news.expected(a_stored_job()) as watch:
        news._look()
        assert watch.next(0) is not None
        selects.clear()
        news._look({a_stored_job()})
    news._look()
    assert selects == []


def test_who_has_just_begun_to_wait_is_looked_after_with_the_next_news(news: News):
    with news.expected(a_stored_job()) as watch:
        news._look({uuid4()})
        assert watch.next(0) is not None


def test_a_database_that_does_not_answer_is_asked_again_later(news: News, monkeypatch):
    def away(**_):
        raise Unavailable("the database does not answer")

    with news.expected(a_stored_job()) as watch:
        with monkeypatch.context() as outage:
            outage.setattr("backend.jobs.news.transaction", away)
            news._look()
        assert watch.next(0) is None
        news._look()
        assert watch.next(0) is not None


def test_as_many_as_may_wait_and_one_who_leaves_makes_room(news: News):
    places = [news.expected(uuid4()) for _ in range(MOST_WAITING)]
    for place in places:
        place.__enter__()
    with pytest.raises(Overloaded, match=f"{MOST_WAITING} clients"), news.expected(uuid4()):
        pass
    places.pop().__exit__(None, None, None)
    with news.expected(uuid4()):
        pass
    for place in places:
        place.__exit__(None, None, None)


def test_those_who_waited_before_a_fork_wait_in_the_parent(news: News):
    with news.expected(uuid4()):
        news._pid = -1  # the parent's
        news._enter(mine := Watch(uuid4()))
        assert news._watches == {mine}


def test_all_messages_that_are_there_are_taken_together():
    first, second, third = uuid4(), uuid4(), uuid4()
    queued = [{"data": f"{first} {second}".encode()}, {"data": str(third).encode()}, None]
    asked: list[float] = []

    def get_message(timeout: float):
        asked.append(timeout)
        return queued.pop(0)

    assert _announced(SimpleNamespace(get_message=get_message), seconds=0.05) == {first, second, third}
    assert asked == [0.05, 0, 0], "only the first is waited for"


def test_many_jobs_are_told_in_one_message_and_none_in_none(news: News, monkeypatch):
    published: list[str] = []
    monkeypatch.setattr(news._redis, "publish", lambda _channel, text: published.append(text))
    first, second = uuid4(), uuid4()
    news.tell()
    news.tell(first, second)
    assert published == [f"{first} {second}"]


def test_a_broker_that_is_away_costs_the_news_and_nothing_else(news: News):
    news.tell(uuid4())  # the broker of a test's application does not exist


def test_each_beat_of_a_worker_tells_the_jobs_whose_progress_has_changed_at_once(kind, worker, doorbell, monkeypatch):
    told: list[set[UUID]] = []
    monkeypatch.setattr(worker.news, "tell", lambda *job_ids: told.append(set(job_ids)))
    claims = [claim(kind, submit(kind, Number()).id, worker="w1", lease=LEASE)[0] for _ in range(3)]
    contexts = [JobContext(job_id=held.job_id, models=worker.models) for held in claims]
    with ExitStack() as held:
        for one, context in zip(claims, contexts, strict=True):
            held.enter_context(worker.leases.holding(one, context))
        contexts[0].progress(0.5)
        contexts[1].progress(0.0, "reading")
        worker.leases.beat()
        worker.leases.beat()
        contexts[0].progress(0.6)
        worker.leases.beat()
    first, second, _ = (one.job_id for one in claims)
    assert told == [{first, second}, set(), {first}]
