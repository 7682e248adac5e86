"""Transactions on a real PostgreSQL."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from backend import extensions
from backend.app import create_app
from backend.errors import Unavailable
from backend.extensions import IDLE_TRANSACTION_MS, db, transaction
from backend.settings import Settings


@pytest.fixture
def app(tmp_path: Path, postgresql: str) -> Iterator[Flask]:
    app = create_app(Settings(_env_file=None, data_dir=tmp_path, database_url=postgresql), domains=())
    with app.app_context():
        yield app
        db.engine.dispose()


def test_a_process_that_stops_in_a_transaction_gives_its_locks_back(app: Flask):
    def stand_still():
        with transaction() as session:
            limit = session.scalar(text("SELECT setting FROM pg_settings WHERE name LIKE 'idle_in_transaction%'"))
            assert limit == str(IDLE_TRANSACTION_MS)
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
            time.sleep(0.3)

    with pytest.raises(Unavailable, match="IdleInTransactionSessionTimeout"):
        stand_still()
    with transaction() as session:
        assert session.scalar(text("SELECT 1")) == 1, "the next transaction has a new connection"


def server_process() -> int:
    """The process id of the server's end of the connection that the pool hands out."""
    with transaction(read_only=True) as session:
        return session.scalar(text("SELECT pg_backend_pid()"))


def test_a_connection_that_the_server_closed_while_it_lay_idle_costs_no_error(
    app: Flask, postgresql: str, monkeypatch: pytest.MonkeyPatch
):
    before = server_process()
    server = create_engine(postgresql)
    with server.connect() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": before}), "ended within 5 s"
    server.dispose()
    monkeypatch.setattr(extensions, "IDLE_SECONDS", 0.0)
    assert server_process() != before


def test_a_connection_that_was_used_a_moment_ago_is_not_asked(app: Flask, monkeypatch: pytest.MonkeyPatch):
    before = server_process()
    asked = []
    monkeypatch.setattr(db.engine.dialect, "do_ping", asked.append)
    monkeypatch.setattr(extensions, "IDLE_SECONDS", 60.0)
    assert server_process() == before
    assert asked == []
    monkeypatch.setattr(extensions, "IDLE_SECONDS", 0.0)
    assert server_process() == before
    assert len(asked) == 1
