import time
from collections.abc import Callable

from flask import Flask

from backend.extensions import Table, db
from backend.jobs.workers import present_workers
from workers import presence
from workers.presence import Presence
from workers.watchdog import Watchdog


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def make(app: Flask, monkeypatch) -> tuple[Presence, Watchdog]:
    monkeypatch.setattr(presence, "SEEN_EVERY", presence.SEEN_EVERY / 500)
    watchdog = Watchdog(echo=lambda: None, at_work=lambda: False, overdue=list, end=lambda: None)
    return Presence(app, watchdog, name="w@host", pid=1, queues=["batch"], models={"m": None}), watchdog


def test_a_worker_is_shown_with_what_it_heard_until_it_leaves(app: Flask, monkeypatch):
    shown, watchdog = make(app, monkeypatch)
    shown.start()
    eventually(lambda: len(present_workers()) == 1)
    watchdog.heard()
    eventually(lambda: present_workers()[0].heard_at == watchdog.heard_at)
    before = present_workers()[0]
    assert (before.name, before.queues, before.models, before.is_deaf) == ("w@host", ["batch"], {"m": None}, False)
    eventually(lambda: present_workers()[0].seen_at > before.seen_at)
    shown.leave()
    shown.join()
    assert present_workers() == []


def test_a_database_that_was_away_at_the_start_or_lost_the_row_is_told_again(app: Flask, monkeypatch):
    Table.metadata.drop_all(db.engine)
    shown, _ = make(app, monkeypatch)
    shown.start()
    time.sleep(0.05)
    for _ in range(2):
        Table.metadata.create_all(db.engine)
        eventually(lambda: len(present_workers()) == 1)
        Table.metadata.drop_all(db.engine)
    Table.metadata.create_all(db.engine)
    shown.leave()
    shown.join()
    assert present_workers() == []
