"""`flask keys …` and `flask accounts …` as an operator sees them."""

from datetime import timedelta

import pytest
from click.testing import Result
from flask import Flask

from backend.clock import utc_now
from backend.security import keys as key_format
from backend.security.accounts import get_account, list_accounts
from backend.security.key_management import list_keys
from backend.security.permissions import Permission, Role


@pytest.fixture
def run(app: Flask):
    def invoke(*arguments: str) -> Result:
        return app.test_cli_runner().invoke(app.cli, arguments)

    return invoke


@pytest.fixture
def made(run) -> str:
    """The id of a key of the account `lab`, a service."""
    text = run("keys", "create", "--account", "lab", "--role", "service").stdout.strip()
    return key_format.split(text)[0]


def refused(ended: Result, says: str, *, code: int = 1) -> None:
    assert ended.exit_code == code, ended.output
    assert says in ended.stderr
    assert ended.stdout == ""


def test_a_key_is_made_with_its_account_and_alone_on_standard_output(run):
    ended = run("keys", "create", "--account", "lab", "--role", "service", "--only", "predict", "--expires", "P90D")
    assert ended.exit_code == 0, ended.output
    (key,) = list_keys("lab").keys
    assert key_format.split(ended.stdout.removesuffix("\n"))[0] == key.id
    assert f"the key {key.id} of the account lab, valid until {key.expires_at:%Y-%m-%d %H:%M}" in ended.stderr
    assert key.permissions == [Permission.PREDICT]
    assert timedelta(days=89) < key.expires_at - utc_now() <= timedelta(days=90)
    assert key.created_by.startswith("command line (")
    assert get_account("lab").role is Role.SERVICE


def test_a_key_of_an_account_that_is_there_needs_no_role(run, made: str):
    assert run("keys", "create", "--account", "lab").exit_code == 0
    assert run("keys", "create", "--account", "lab", "--role", "service").exit_code == 0
    assert len(list_keys("lab").keys) == 3


def test_a_role_that_an_account_has_not_is_not_given_in_passing(run, made: str):
    refused(run("keys", "create", "--account", "lab", "--role", "admin"), "lab is there already, as service")
    assert get_account("lab").role is Role.SERVICE
    assert len(list_keys("lab").keys) == 1


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("--account", "ward"), "no account ward", 1),
        (("--account", "Ward 1", "--role", "viewer"), "name: ", 1),
        (("--account", "lab", "--only", "manage_models"), "does not allow manage_models", 1),
        (("--account", "lab", "--only", "fly"), "'fly' is not one of", 2),
        (("--account", "lab", "--expires", "90"), "is no duration; write 90 days as P90D", 2),
        (("--account", "lab", "--expires", "P90"), "is no duration", 2),
        (("--account", "lab", "--expires", "P900000000D"), "longer than calendars go", 2),
        (("--account", "lab", "--expires", "P0D"), "must lie in the future", 1),
    ],
)
def test_a_key_that_cannot_be_is_refused_with_the_reason(run, made: str, arguments, says: str, code: int):
    refused(run("keys", "create", *arguments), says, code=code)
    assert len(list_keys(None).keys) == 1


def test_keys_are_listed_rotated_and_revoked(run, made: str):
    ended = run("keys", "rotate", made, "--overlap", "PT2H")
    new, _ = key_format.split(ended.stdout.strip())
    assert run("keys", "revoke", new).output == f"the key {new} is revoked\n"
    lines = {line.split()[0]: line for line in run("keys", "list").output.splitlines()}
    assert f"{made}  lab  expires {utc_now() + timedelta(hours=2):%Y-%m-%d}" in lines[made]
    assert "revoked" in lines[new]
    assert all(line.endswith("all of its role  never used") for line in lines.values())
    assert run("keys", "list", "--account", "lab").output == run("keys", "list").output
    refused(run("keys", "list", "--account", "ward"), "no account ward")


def test_a_rotation_overlaps_for_a_day_unless_told_otherwise(run, made: str):
    assert run("keys", "rotate", made).exit_code == 0
    old = next(one for one in list_keys("lab").keys if one.id == made)
    assert timedelta(hours=23) < old.expires_at - utc_now() <= timedelta(hours=24)
    refused(run("keys", "rotate", made, "--overlap", "P31D"), "must be from 0 to 30 days")


def test_an_unknown_key_and_a_whole_one_are_not_found(run):
    refused(run("keys", "revoke", "00000000"), "no API key 00000000")
    refused(run("keys", "rotate", f"sgk_00000000_{43 * 'a'}"), "an id is the eight digits")


def test_the_first_key_is_printed_once(run):
    first, second = run("keys", "first"), run("keys", "first")
    assert (first.exit_code, second.exit_code) == (0, 0)
    (key,) = list_keys("admin").keys
    assert key_format.split(first.stdout.strip())[0] == key.id
    assert second.stdout == ""
    assert "there are accounts already" in second.stderr


def test_accounts_are_made_changed_and_listed(run):
    assert run("accounts", "create", "asha", "admin").exit_code == 0
    assert run("accounts", "create", "bala", "viewer").output.startswith("bala  viewer  enabled  ")
    assert run("accounts", "role", "bala", "clinician").output.startswith("bala  clinician  enabled  ")
    assert run("accounts", "disable", "bala").output.startswith("bala  clinician  disabled ")
    assert [line.split()[:3] for line in run("accounts", "list").output.splitlines()] == [
        ["asha", "admin", "enabled"],
        ["bala", "clinician", "disabled"],
    ]
    assert run("accounts", "enable", "bala").output.startswith("bala  clinician  enabled  ")


def test_what_may_not_be_done_to_an_account_ends_with_1_and_says_why(run):
    run("accounts", "create", "asha", "admin")
    refused(run("accounts", "disable", "asha"), "last admin")
    refused(run("accounts", "role", "asha", "viewer"), "last admin")
    refused(run("accounts", "create", "asha", "viewer"), "there is an account asha already")
    refused(run("accounts", "enable", "bala"), "no account bala")
    refused(run("accounts", "create", "bala", "king"), "'king' is not one of", code=2)


def test_a_user_without_a_name_is_known_by_number_and_a_long_one_is_cut(run, monkeypatch: pytest.MonkeyPatch):
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 1234)
    run("accounts", "create", "asha", "admin")
    monkeypatch.setattr("getpass.getuser", lambda: 100 * "x")
    run("accounts", "create", "bala", "viewer")
    asha, bala = list_accounts().accounts
    assert asha.created_by == "command line (uid 1234)"
    assert len(bala.created_by) == 64
