from datetime import timedelta

from flask import Flask
from sqlalchemy import update

from backend.clock import utc_now
from backend.extensions import transaction
from backend.jobs.workers import (
    DEAF_AFTER,
    GONE_AFTER,
    SEEN_EVERY,
    WorkerProcess,
    present_workers,
    register_worker,
    worker_left,
    worker_seen,
)
from workers.watchdog import LOOK_EVERY

SECOND = timedelta(seconds=1)


def register(name: str = "w@host") -> None:
    register_worker(name=name, pid=1, queues=["interactive", "batch"], models={})


def ago(**moments: timedelta) -> None:
    with transaction() as session:
        session.execute(update(WorkerProcess).values({column: utc_now() - age for column, age in moments.items()}))


def test_a_worker_that_registers_is_present_and_hears(app: Flask):
    register()
    (worker,) = present_workers()
    assert (worker.name, worker.queues, worker.is_deaf) == ("w@host", ["batch", "interactive"], False)


def test_one_that_lives_and_hears_nothing_is_deaf(app: Flask):
    register()
    assert worker_seen("w@host", heard_at=utc_now() - DEAF_AFTER + SECOND)
    assert not present_workers()[0].is_deaf
    assert worker_seen("w@host", heard_at=utc_now() - DEAF_AFTER - SECOND)
    assert present_workers()[0].is_deaf


def test_one_that_was_not_seen_lately_is_gone(app: Flask):
    register()
    ago(seen_at=GONE_AFTER + SECOND)
    assert present_workers() == []
    assert worker_seen("w@host", heard_at=utc_now())
    assert len(present_workers()) == 1


def test_an_unknown_one_is_not_entered_by_being_seen(app: Flask):
    assert not worker_seen("w@host", heard_at=utc_now())
    register()
    worker_left("w@host")
    assert not worker_seen("w@host", heard_at=utc_now())
    assert present_workers() == []


def test_a_healthy_worker_never_looks_deaf_or_gone():
    assert timedelta(seconds=LOOK_EVERY) + SEEN_EVERY + 5 * SECOND <= DEAF_AFTER
    assert 3 * SEEN_EVERY < GONE_AFTER
