import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from backend import extensions
from backend.app import create_app
from backend.errors import Unavailable
from backend.extensions import Table, db, transaction
from backend.jobs.tables import Job
from backend.settings import Settings

IST = timezone(timedelta(hours=5, minutes=30))


def a_job(**changes):
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    values = {"kind": "a.b", "queue": "batch", "request": {}, "max_attempts": 1, "created_at": now, "available_at": now}
    return Job(**(values | changes))


def test_moments_come_back_in_utc(app: Flask):
    at = datetime(2026, 1, 1, 9, 30, tzinfo=IST)
    with transaction() as session:
        session.add(a_job(created_at=at))
    with transaction(read_only=True) as session:
        found = session.scalars(select(Job.created_at)).one()
    assert found == at
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused(app: Flask):
    with pytest.raises(StatementError, match="without a time zone"), transaction() as session:
        session.add(a_job(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the point


def test_an_error_rolls_everything_back(app: Flask):
    def fail():
        with transaction() as session:
            session.add(a_job())
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with transaction(read_only=True) as session:
        assert session.scalars(select(Job)).all() == []


def test_sqlite_writes_ahead_and_writers_take_the_lock_at_their_start(app: Flask):
    with transaction() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
        with transaction(read_only=True) as reader:
            assert reader.execute(text("SELECT count(*) FROM job")).scalar() == 0, "readers do not wait for writers"


@pytest.fixture
def other_process(app: Flask) -> Iterator[sqlite3.Connection]:
    """A connection that is not of the application's pool, nor of its turn to write."""
    path = str(db.engine.url.database)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        yield connection


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(extensions, "BUSY_TIMEOUT_MS", 50)
    return extensions.BUSY_TIMEOUT_MS


def test_a_writer_waits_until_another_process_has_written(other_process: sqlite3.Connection):
    other_process.execute("BEGIN IMMEDIATE")
    commit = threading.Timer(0.1, other_process.execute, ("COMMIT",))
    commit.start()
    with transaction() as session:
        session.add(a_job())
        session.flush()
        assert not other_process.in_transaction
    commit.join()
    assert other_process.execute("SELECT count(*) FROM job").fetchone() == (1,)


def test_a_writer_does_not_wait_for_ever_and_the_next_one_is_served(
    other_process: sqlite3.Connection, short_patience: int
):
    other_process.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="the database is busy writing"), transaction() as session:
        session.add(a_job())
    other_process.execute("COMMIT")
    with transaction() as session:
        timeout = session.execute(text("PRAGMA busy_timeout")).scalar()
        assert timeout == short_patience, "what is not BEGIN waits in SQLite itself"
        assert session.scalars(select(Job)).all() == []


def test_threads_take_turns_to_write_and_do_not_wait_for_ever(app: Flask, short_patience: int):
    with transaction(), pytest.raises(Unavailable, match="the database is busy writing"), transaction():
        pytest.fail("another thread writes")


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(app: Flask):
    entered, leave = threading.Event(), threading.Event()

    def write() -> None:
        with app.app_context(), transaction():
            entered.set()
            leave.wait(10)

    writer = threading.Thread(target=write)
    writer.start()
    entered.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if extensions._writing.acquire(blocking=False) else 1)
    leave.set()
    writer.join()
    assert os.waitpid(child, 0)[1] == 0


def test_a_disk_that_fails_at_begin_is_unavailable(app: Flask, monkeypatch: pytest.MonkeyPatch):
    def fail(_connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        raise error

    monkeypatch.setattr(extensions, "_begin_writing", fail)
    with pytest.raises(Unavailable, match="does not answer"), transaction() as session:
        session.execute(text("SELECT 1"))


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path):
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    app = create_app(Settings(database_url=url, data_dir=tmp_path, log_level="ERROR", _env_file=None), ())
    with app.app_context(), pytest.raises(Unavailable, match="database does not answer"), transaction() as session:
        session.execute(text("SELECT 1"))


def test_constraints_have_names(app: Flask):
    for table in Table.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name
    assert db.metadata is Table.metadata
