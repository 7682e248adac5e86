"""Accounts that several change at once, on both databases."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import delete

from backend.errors import Conflict
from backend.extensions import transaction
from backend.security import keys
from backend.security.accounts import create_account, disable, get_account, list_accounts, set_role
from backend.security.key_management import create_key, first_admin_key, list_keys, rotate
from backend.security.permissions import Role
from backend.security.tables import Account, ApiKey

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
ROUNDS = 15


@pytest.fixture
def at_once(app: Flask):
    """Calls functions at the same time; returns what each did, or the conflict that it met."""

    def call(actions: Iterable[Callable[[], object]]) -> list[object]:
        actions = list(actions)
        together = Barrier(len(actions))

        def one(action: Callable[[], object]) -> object:
            together.wait()
            with app.app_context():
                try:
                    return action()
                except Conflict as conflict:
                    return conflict

        with ThreadPoolExecutor(len(actions)) as pool:
            return list(pool.map(one, actions))

    return call


def clear() -> None:
    with transaction() as session:
        session.execute(delete(ApiKey))
        session.execute(delete(Account))


@pytest.mark.parametrize("end", [lambda name: disable(name, at=AT), lambda name: set_role(name, Role.VIEWER, at=AT)])
def test_of_admins_who_all_go_at_once_one_remains(at_once, end):
    for _ in range(ROUNDS):
        clear()
        for name in ("asha", "bala", "chitra"):
            create_account(name, Role.ADMIN, by="test", at=AT)
        done = at_once([lambda name=name: end(name) for name in ("asha", "bala", "chitra")])
        assert sum(isinstance(one, Conflict) for one in done) == 1
        left = [one for one in list_accounts().accounts if one.role is Role.ADMIN and one.disabled_at is None]
        assert len(left) == 1


def test_of_processes_that_start_at_once_one_gets_the_first_key(at_once):
    for _ in range(ROUNDS):
        clear()
        (text,) = [text for text in at_once(4 * [lambda: first_admin_key(AT)]) if text is not None]
        assert [one.id for one in list_keys(None).keys] == [keys.split(text)[0]]


def test_no_key_of_a_disabled_account_is_left_valid(at_once):
    for _ in range(ROUNDS):
        clear()
        create_account("lab", Role.SERVICE, by="test", at=AT)
        old = create_key("lab", permissions=None, expires_at=None, by="test", at=AT)
        make = [
            lambda: create_key("lab", permissions=None, expires_at=None, by="test", at=AT),
            lambda key=old.id: rotate(key, overlap=timedelta(days=1), by="test", at=AT),
        ]
        at_once([*make, lambda: disable("lab", at=AT)])
        assert get_account("lab").disabled_at == AT
        assert all(one.revoked_at == AT for one in list_keys("lab").keys)


def test_a_name_is_given_once(at_once):
    for _ in range(ROUNDS):
        clear()
        make = [lambda role=role: create_account("lab", role, by="test", at=AT) for role in (Role.VIEWER, Role.SERVICE)]
        made = [one for one in at_once(make) if not isinstance(one, Conflict)]
        assert made == [get_account("lab")]
