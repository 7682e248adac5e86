"""When keys were last used, without a write for each request."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from structlog.testing import capture_logs

from backend.extensions import Table, db
from backend.security import last_use as module
from backend.security.accounts import create_account
from backend.security.directory import Directory
from backend.security.key_management import create_key, list_keys
from backend.security.last_use import LastUse
from backend.security.permissions import Role

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def key(app: Flask) -> str:
    create_account("lab", Role.SERVICE, by="asha", at=AT)
    return create_key("lab", permissions=None, expires_at=None, by="asha", at=AT).id


def written(key: str) -> datetime | None:
    return next(one.last_used_at for one in list_keys("lab").keys if one.id == key)


def test_a_use_is_written_once_a_minute(key: str):
    last_use, known = LastUse(), Directory().key(key)
    for after in (0, 1, 59):
        last_use.note(known, AT + after * SECOND)
        assert written(key) == AT
    last_use.note(known, AT + 60 * SECOND)
    assert written(key) == AT + 60 * SECOND


def test_what_another_process_wrote_within_the_minute_is_not_written_again(key: str):
    LastUse().note(Directory().key(key), AT)
    LastUse().note(Directory().key(key), AT + 59 * SECOND)
    assert written(key) == AT
    LastUse().note(Directory().key(key), AT + 60 * SECOND)
    assert written(key) == AT + 60 * SECOND


def test_keys_are_written_each_for_itself(key: str):
    other = create_key("lab", permissions=None, expires_at=None, by="asha", at=AT).id
    last_use, directory = LastUse(), Directory()
    last_use.note(directory.key(key), AT)
    assert written(other) is None
    last_use.note(directory.key(other), AT + SECOND)
    assert (written(key), written(other)) == (AT, AT + SECOND)


def test_a_database_that_fails_is_logged_once_a_minute_and_fails_nobody(key: str):
    last_use, known = LastUse(), Directory().key(key)
    Table.metadata.drop_all(db.engine)
    with capture_logs() as logs:
        for after in range(60):
            last_use.note(known, AT + after * SECOND)
    (event,) = logs
    assert (event["event"], event["key_id"], event["log_level"]) == ("last_use_not_written", key, "warning")


def test_many_keys_fill_no_memory(key: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_KNOWN", 2)
    last_use, directory = LastUse(), Directory()
    for _ in range(5):
        one = create_key("lab", permissions=None, expires_at=None, by="asha", at=AT).id
        last_use.note(directory.key(one), AT)
        assert len(last_use._noted) <= 2
