"""What is remembered of accounts, keys and logins, and for how long."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import update

from backend.errors import Unavailable
from backend.extensions import Table, db, transaction
from backend.security import directory as module
from backend.security.accounts import create_account, disable, set_role
from backend.security.directory import FRESH_SECONDS, Directory, KnownAccount, current_directory
from backend.security.key_management import create_key, revoke
from backend.security.permissions import Permission, Role
from backend.security.tables import Account, ApiKey, Login

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def directory(app: Flask, clock: Clock) -> Directory:
    """A directory of another process: changes here do not make it forget."""
    create_account("lab", Role.SERVICE, by="asha", at=AT)
    return Directory()


def make_key(**more) -> str:
    return create_key("lab", **{"permissions": None, "expires_at": None} | more, by="asha", at=AT).id


def log_in() -> UUID:
    login = Login(id=uuid4(), account="lab", refresh_digest="0", created_at=AT, refreshed_at=AT, expires_at=AT)
    with transaction() as session:
        session.add(login)
    return login.id


def test_a_key_is_known_with_what_it_allows_and_whose_it_is(directory: Directory):
    plain, narrow = make_key(), make_key(permissions=[Permission.PREDICT], expires_at=AT + timedelta(days=1))
    assert directory.key(plain).permissions is None
    known = directory.key(narrow)
    assert (known.id, known.account) == (narrow, KnownAccount("lab", Role.SERVICE))
    assert (known.permissions, known.expires_at) == ({Permission.PREDICT}, AT + timedelta(days=1))
    assert directory.key("00000000") is None


@pytest.mark.parametrize("end", [lambda key: revoke(key, at=AT), lambda _key: disable("lab", at=AT)])
def test_a_key_that_ends_elsewhere_is_noticed_when_its_time_is_over(directory: Directory, clock: Clock, end):
    key = make_key()
    assert directory.key(key) is not None
    end(key)
    clock.now = FRESH_SECONDS - 0.01
    assert directory.key(key) is not None
    clock.now = FRESH_SECONDS
    assert directory.key(key) is None


def test_what_changes_here_is_noticed_at_once(directory: Directory):
    key = make_key()
    assert current_directory().key(key) is not None
    set_role("lab", Role.VIEWER, at=AT)
    assert current_directory().key(key).account.role is Role.VIEWER
    revoke(key, at=AT)
    assert current_directory().key(key) is None


def test_a_login_is_of_its_account_until_it_ends(directory: Directory):
    login = log_in()
    assert directory.account_of_login(login, "lab") == KnownAccount("lab", Role.SERVICE)
    assert directory.account_of_login(login, "ward") is None
    assert directory.account_of_login(uuid4(), "lab") is None
    with transaction() as session:
        session.execute(update(Login).values(ended_at=AT))
    directory.forget()
    assert directory.account_of_login(login, "lab") is None


def test_a_disabled_account_has_no_logins_that_count(directory: Directory):
    login = log_in()
    with transaction() as session:
        session.execute(update(Account).values(disabled_at=AT))
    assert directory.account_of_login(login, "lab") is None


def test_guesses_fill_no_memory(directory: Directory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_KNOWN", 3)
    for number in range(10):
        assert directory.key(f"{number:08x}") is None
        assert len(directory._known) <= 3


def test_a_database_that_does_not_answer_is_said_and_not_remembered(directory: Directory):
    key = make_key()
    Table.metadata.drop_all(db.engine, tables=[ApiKey.__table__])
    with pytest.raises(Unavailable):
        directory.key(key)
    Table.metadata.create_all(db.engine)
    assert directory.key(key) is None
