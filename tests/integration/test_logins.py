"""Logins on SQLite and PostgreSQL, by many at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID

import pytest
from flask import Flask

from backend.errors import Unauthenticated
from backend.extensions import transaction
from backend.security import passwords
from backend.security.logins import Tokens, log_in, refresh, set_password
from backend.security.refresh_tokens import digest
from backend.security.tables import Account, Login
from tests.people import PASSWORD, add_person, quick_passwords

pytestmark = pytest.mark.integration

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
MANY = 10


@pytest.fixture(autouse=True)
def _asha(app: Flask):
    with quick_passwords():
        add_person()
        yield


def at_once(app: Flask, act: Callable[[int], Tokens]) -> list[Tokens | None]:
    """Let threads do something at the same moment; None where nobody got in."""
    together = Barrier(MANY)

    def run(number: int) -> Tokens | None:
        with app.app_context():
            together.wait()
            try:
                return act(number)
            except Unauthenticated:
                return None

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(run, range(MANY)))


def login_of(tokens: Tokens) -> Login:
    with transaction(read_only=True) as session:
        return session.get_one(Login, UUID(hex=tokens.refresh_token.split("_")[1]))


def test_of_many_refreshes_at_once_one_exchanges_and_all_get_the_same(app: Flask):
    tokens = log_in("asha", PASSWORD, AT)
    got = at_once(app, lambda _: refresh(tokens.refresh_token, AT + timedelta(minutes=1)))
    (following,) = {one.refresh_token for one in got}
    assert (login_of(tokens).ended_at, login_of(tokens).refresh_digest) == (None, digest(following))


def test_of_an_old_and_the_new_token_at_once_none_outlives_the_end_of_the_login(app: Flask):
    tokens = log_in("asha", PASSWORD, AT)
    new = refresh(tokens.refresh_token, AT + timedelta(minutes=1))
    shown = [tokens.refresh_token, new.refresh_token]
    at_once(app, lambda number: refresh(shown[number % 2], AT + timedelta(minutes=2)))
    assert login_of(tokens).ended_because == "a refresh token was used twice"


def test_many_guesses_at_once_are_five(app: Flask, monkeypatch: pytest.MonkeyPatch):
    compared = []
    monkeypatch.setattr(passwords, "matches", lambda _, kept: compared.append(kept is not None))
    assert at_once(app, lambda _: log_in("asha", "a guess of somebody", AT)) == [None] * MANY
    assert (len(compared), sum(compared)) == (MANY, 5)


def test_whoever_logs_in_while_the_password_changes_is_out_afterwards(app: Flask):
    def act(number: int) -> Tokens:
        if number == MANY // 2:
            set_password("asha", "another four words", by="bala", at=AT)
        return log_in("asha", PASSWORD, AT)

    for tokens in at_once(app, act):
        if tokens is not None:
            assert login_of(tokens).ended_because == "the password was changed by bala"
    with transaction() as session:
        session.get_one(Account, "asha").locked_until = None
    assert log_in("asha", "another four words", AT)
