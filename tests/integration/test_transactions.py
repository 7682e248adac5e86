"""Transactions on a real PostgreSQL."""

import time
from pathlib import Path

import pytest
from sqlalchemy import text

from backend.app import create_app
from backend.errors import Unavailable
from backend.extensions import IDLE_TRANSACTION_MS, db, transaction
from backend.settings import Settings


def test_a_process_that_stops_in_a_transaction_gives_its_locks_back(tmp_path: Path, postgresql: str):
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url=postgresql)

    def stand_still():
        with transaction() as session:
            limit = session.scalar(text("SELECT setting FROM pg_settings WHERE name LIKE 'idle_in_transaction%'"))
            assert limit == str(IDLE_TRANSACTION_MS)
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
            time.sleep(0.3)

    with create_app(settings, domains=()).app_context():
        with pytest.raises(Unavailable, match="IdleInTransactionSessionTimeout"):
            stand_still()
        with transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1, "the next transaction has a new connection"
        db.engine.dispose()
