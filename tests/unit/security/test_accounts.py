"""Accounts, and that one admin always remains."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from backend.errors import Conflict, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.security.accounts import (
    change_account,
    create_account,
    disable,
    enable,
    get_account,
    list_accounts,
    set_role,
)
from backend.security.key_management import create_key, list_keys
from backend.security.permissions import Role
from backend.security.schemas import AccountPatch
from backend.security.tables import Account, ApiKey, Login

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.fixture(autouse=True)
def _in_app(app: Flask) -> None:
    """Everything here happens in an application with an empty database."""


def create(name: str, role: Role = Role.SERVICE):
    return create_account(name, role, by="asha", at=AT)


def log_in(name: str, *, ended_at: datetime | None = None):
    login = Login(id=uuid4(), account=name, refresh_digest=64 * "0", created_at=AT, refreshed_at=AT, expires_at=LATER)
    login.ended_at = ended_at
    with transaction() as session:
        session.add(login)
    return login.id


def test_an_account_is_made_and_shown_without_its_password():
    made = create_account("dr.meera@example.org", Role.CLINICIAN, by="asha", at=AT, password_hash="$argon2id$…")  # noqa: S106 - of nobody
    assert made == get_account("dr.meera@example.org")
    assert (made.role, made.created_by, made.created_at, made.disabled_at) == (Role.CLINICIAN, "asha", AT, None)
    assert "argon2" not in made.model_dump_json()
    with transaction(read_only=True) as session:
        assert session.get_one(Account, "dr.meera@example.org").password_hash == "$argon2id$…"  # noqa: S105


def test_accounts_are_listed_by_name():
    create("lab-2")
    create("lab-1")
    assert [one.name for one in list_accounts().accounts] == ["lab-1", "lab-2"]


@pytest.mark.parametrize("name", ["a", "Asha", "-lab", "lab 1", "lab\n", "", 65 * "a", "läb", "a/b", "a\x00b"])
def test_a_name_that_cannot_be_one_is_refused_and_not_found(name: str):
    with pytest.raises(ValidationFailed) as refused:
        create(name)
    assert [one.field for one in refused.value.fields] == ["name"]
    with pytest.raises(NotFound):
        get_account(name)


@pytest.mark.parametrize("name", ["development", "release", "system"])
def test_names_that_records_use_otherwise_are_reserved(name: str):
    with pytest.raises(ValidationFailed, match="reserved"):
        create(name)


def test_a_name_is_given_once_also_after_its_account_was_disabled():
    create("lab")
    disable("lab", at=LATER)
    with pytest.raises(Conflict, match="there is an account lab already"):
        create("lab", Role.ADMIN)
    assert get_account("lab").role is Role.SERVICE


@pytest.mark.parametrize("change", [lambda: disable("lab", at=AT), lambda: set_role("lab", Role.VIEWER, at=AT)])
def test_an_account_that_does_not_exist_is_not_found(change):
    with pytest.raises(NotFound, match="no account lab"):
        change()


def test_disabling_revokes_the_keys_and_ends_the_logins_of_this_account_alone():
    for name in ("lab", "ward"):
        create(name)
        create_key(name, permissions=None, expires_at=None, by="asha", at=AT)
    ended, open_, other = log_in("lab", ended_at=AT), log_in("lab"), log_in("ward")
    assert disable("lab", at=LATER).disabled_at == LATER
    assert [one.revoked_at for one in list_keys("lab").keys] == [LATER]
    assert [one.revoked_at for one in list_keys("ward").keys] == [None]
    with transaction(read_only=True) as session:
        logins = {row.id: (row.ended_at, row.ended_because) for row in session.scalars(select(Login))}
    assert logins == {ended: (AT, None), open_: (LATER, "the account was disabled"), other: (None, None)}


def test_disabling_again_keeps_the_moment_and_enabling_brings_no_key_back():
    create("lab")
    create_key("lab", permissions=None, expires_at=None, by="asha", at=AT)
    disable("lab", at=AT)
    assert disable("lab", at=LATER).disabled_at == AT
    assert enable("lab", at=LATER).disabled_at is None
    assert [one.revoked_at for one in list_keys("lab").keys] == [AT]


def test_a_refused_change_leaves_everything_as_it_was():
    create("asha", Role.ADMIN)
    create_key("asha", permissions=None, expires_at=None, by="asha", at=AT)
    with pytest.raises(Conflict, match="last admin"):
        disable("asha", at=LATER)
    assert get_account("asha").disabled_at is None
    assert [one.revoked_at for one in list_keys("asha").keys] == [None]


def test_role_and_state_change_together_or_not_at_all():
    create("asha", Role.ADMIN)
    with pytest.raises(Conflict):
        change_account("asha", AccountPatch(role=Role.ADMIN, disabled=True), at=LATER)
    create("bala", Role.VIEWER)
    changed = change_account("bala", AccountPatch(role=Role.AUDITOR, disabled=True), at=LATER)
    assert (changed.role, changed.disabled_at) == (Role.AUDITOR, LATER)


def test_a_disabled_admin_does_not_count():
    for name in ("asha", "bala"):
        create(name, Role.ADMIN)
    disable("bala", at=AT)
    with pytest.raises(Conflict, match="last admin"):
        set_role("asha", Role.VIEWER, at=AT)
    enable("bala", at=AT)
    assert set_role("asha", Role.VIEWER, at=AT).role is Role.VIEWER


def test_of_two_admins_who_disable_each_other_at_once_one_remains(app: Flask):
    for name in ("asha", "bala"):
        create(name, Role.ADMIN)
    both = Barrier(2)

    def try_to_disable(name: str) -> bool:
        both.wait()
        with app.app_context():
            try:
                disable(name, at=AT)
            except Conflict:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(try_to_disable, ("asha", "bala"))) == [False, True]


@dataclass
class Expected:
    role: Role
    enabled: bool = True

    @property
    def manages(self) -> bool:
        return self.enabled and self.role is Role.ADMIN


NAMES = st.sampled_from(["asha", "bala", "chitra"])
ROLES = st.sampled_from([Role.ADMIN, Role.VIEWER])
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), NAMES, ROLES),
    st.tuples(st.just("set_role"), NAMES, ROLES),
    st.tuples(st.just("disable"), NAMES),
    st.tuples(st.just("enable"), NAMES),
    st.tuples(st.just("change"), NAMES, ROLES, st.booleans()),
)


def apply(what: str, name: str, *values):
    """Do one operation."""
    match what:
        case "create":
            create(name, *values)
        case "set_role":
            set_role(name, *values, at=AT)
        case "disable":
            disable(name, at=AT)
        case "enable":
            enable(name, at=AT)
        case "change":
            change_account(name, AccountPatch(role=values[0], disabled=values[1]), at=AT)


def expect(expected: dict[str, Expected], what: str, name: str, *values) -> dict[str, Expected] | type[Exception]:
    """Return what is to be after one operation, or what is to be raised."""
    if what == "create":
        return Conflict if name in expected else expected | {name: Expected(*values)}
    if name not in expected:
        return NotFound
    role = values[0] if values else expected[name].role
    enabled = {"disable": False, "enable": True, "change": not values[-1] if values else True}
    after = expected | {name: Expected(role, enabled.get(what, expected[name].enabled))}
    had, has = (any(one.manages for one in people.values()) for people in (expected, after))
    return Conflict if had and not has else after


@given(operations=st.lists(OPERATIONS, max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_an_enabled_admin_remains(operations):
    with transaction() as session:
        for table in (ApiKey, Login, Account):
            session.execute(delete(table))
    create("first", Role.ADMIN)
    expected = {"first": Expected(Role.ADMIN)}
    for operation in operations:
        after = expect(expected, *operation)
        if isinstance(after, type):
            with pytest.raises(after):
                apply(*operation)
        else:
            apply(*operation)
            expected = after
        people = {one.name: Expected(one.role, one.disabled_at is None) for one in list_accounts().accounts}
        assert people == expected
        assert any(one.manages for one in people.values())
