from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

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


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path):
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    app = create_app(Settings(database_url=url, data_dir=tmp_path, log_level="ERROR", _env_file=None), ())
    with app.app_context(), pytest.raises(Unavailable, match="database does not answer"), transaction() as session:
        session.execute(text("SELECT 1"))


def test_constraints_have_names(app: Flask):
    for table in Table.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name
    assert db.metadata is Table.metadata
