"""What holds submissions back before anything is stored."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backend.errors import Overloaded, TooMany, Unavailable, ValidationFailed
from backend.jobs import limits as module
from backend.jobs.execute import execute
from backend.jobs.limits import Limits
from backend.jobs.submit import submit
from backend.jobs.terms import Terms
from backend.settings import Settings
from tests.unit.conftest import Number


def limits(tmp_path: Path, **options) -> Limits:
    return Limits(Settings(data_dir=tmp_path, _env_file=None, **options))


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The seconds that have passed; a test moves them."""
    passed = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: passed[0])
    return passed


def test_a_client_with_too_many_unfinished_jobs_waits_and_others_do_not(app, tmp_path):
    few = limits(tmp_path, client_jobs=2)
    few.admit("a", {"batch": 2})
    with pytest.raises(TooMany, match="you have 2 unfinished jobs and may have 2; nothing was stored") as refused:
        few.admit("a", {"batch": 1})
    assert refused.value.retry_after > 0
    few.admit("b", {"batch": 1})


def test_a_queue_that_is_full_refuses_everybody_and_another_queue_nobody(app, tmp_path):
    small = limits(tmp_path, max_queued=2)
    small.admit("a", {"batch": 2})
    with pytest.raises(Overloaded, match="2 jobs wait in the queue batch, and 2 may") as refused:
        small.admit("b", {"batch": 1})
    assert refused.value.retry_after > 0
    small.admit("b", {"interactive": 1})


def test_what_is_refused_takes_no_room(app, tmp_path):
    small = limits(tmp_path, max_queued=3, client_jobs=3)
    small.admit("a", {"batch": 1})
    for _ in range(5):
        with pytest.raises(TooMany):
            small.admit("a", {"interactive": 3})
        with pytest.raises(Overloaded):
            small.admit("b", {"batch": 3})
    small.admit("a", {"batch": 2})


def test_unfinished_jobs_are_counted_again_after_a_moment(kind, doorbell, worker, tmp_path, clock):
    one = limits(tmp_path, client_jobs=1)
    job = submit(kind, Number(), terms=Terms(client="a"))
    with pytest.raises(TooMany):
        one.admit("a", {"interactive": 1})
    execute(kind, job.id, worker)
    clock[0] += 10.0
    one.admit("a", {"interactive": 1})
    clock[0] += 10.0
    one.admit("a", {"interactive": 1})  # what was let in and never stored is forgotten


def test_between_two_counts_what_was_let_in_counts(app, tmp_path, clock, monkeypatch):
    counted = []
    count = module._count
    monkeypatch.setattr(module, "_count", lambda: counted.append(clock[0]) or count())
    many = limits(tmp_path, client_jobs=10)
    for _ in range(10):
        many.admit("a", {"batch": 1})
    with pytest.raises(TooMany):
        many.admit("a", {"batch": 1})
    assert len(counted) == 1


def test_jobs_that_nobody_submitted_fill_a_queue_and_no_client(app, kind, doorbell, tmp_path):
    submit(kind, Number())
    with pytest.raises(Overloaded):
        limits(tmp_path, max_queued=1).admit("a", {"interactive": 1})
    limits(tmp_path, client_jobs=1).admit("a", {"interactive": 1})


@pytest.mark.parametrize("setting", [{"client_jobs": 5}, {"max_queued": 5}, {"client_rate": "5/minute"}])
def test_more_than_is_ever_let_in_is_refused_for_good_and_says_how_many_may_be(app, tmp_path, setting):
    with pytest.raises(ValidationFailed, match=r"jobs: 6 at once .* send at most 5"):
        limits(tmp_path, **setting).admit("a", {"batch": 4, "interactive": 2})


def test_while_one_thread_counts_the_others_go_by_the_last_count(app, tmp_path, clock, monkeypatch):
    some = limits(tmp_path, client_jobs=2)
    some.admit("a", {"batch": 1})
    clock[0] += 10.0
    counting, go_on = threading.Event(), threading.Event()
    count = module._count

    def slow():
        counting.set()
        go_on.wait(10)
        return count()

    def admit():
        with app.app_context():
            some.admit("b", {"batch": 1})

    monkeypatch.setattr(module, "_count", slow)
    thread = threading.Thread(target=admit)
    thread.start()
    assert counting.wait(10)
    some.admit("a", {"batch": 1})
    with pytest.raises(TooMany):
        some.admit("a", {"batch": 1})
    go_on.set()
    thread.join()


def test_a_database_that_does_not_answer_is_said_so_and_asked_again(app, tmp_path, monkeypatch):
    some = limits(tmp_path)
    count = module._count

    def away():
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(module, "_count", away)
    with pytest.raises(Unavailable):
        some.admit("a", {"batch": 1})
    monkeypatch.setattr(module, "_count", count)
    some.admit("a", {"batch": 1})


def test_a_rate_without_a_broker_is_counted_by_the_process_alone(app, tmp_path):
    two = limits(tmp_path, client_rate="2/hour")
    two.admit("a", {"batch": 2})
    with pytest.raises(TooMany, match="2 per 1 hour") as refused:
        two.admit("a", {"batch": 1})
    assert 1 <= refused.value.retry_after <= 3_600
    two.admit("b", {"batch": 1})


def test_no_rate_is_the_default(app, tmp_path):
    free = limits(tmp_path)
    for _ in range(1_000):
        free.admit("a", {"batch": 1})


def test_terms_without_a_client_are_held_back_by_no_limit(app, kind, doorbell, tmp_path):
    app.extensions["limits"] = limits(tmp_path, client_jobs=1, max_queued=1)
    for _ in range(3):
        submit(kind, Number(), terms=replace(Terms(), client=None))
