"""Which passwords are taken, and what is kept of them."""

import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Overloaded, ValidationFailed
from backend.security import passwords
from backend.security.passwords import OBVIOUS, check_new, digest, in_turn, matches
from tests.people import PASSWORD, quick_passwords


@pytest.fixture
def quick():
    with quick_passwords():
        yield


def why_not(password: str, *, account: str = "asha", field: str = "password") -> str:
    with pytest.raises(ValidationFailed) as refused:
        check_new(password, account=account, field=field)
    (wrong,) = refused.value.fields
    assert wrong.field == field
    return wrong.reason


@pytest.mark.parametrize("length", [0, 1, 11, 201, 10_000])
def test_a_password_has_12_to_200_characters(length: int):
    assert why_not(("abcdefg" * 2_000)[:length]) == "must have 12 to 200 characters"


@pytest.mark.parametrize("length", [12, 200])
def test_a_password_of_allowed_length_needs_no_particular_characters(length: int):
    check_new(("only small letters " * 20)[:length], account="asha")


def test_length_counts_characters_and_not_bytes():
    check_new("മലയാളത്തിൽ രഹസ്യം", account="asha")
    assert "12 to 200" in why_not("é́é́é́é́"[:6])


@pytest.mark.parametrize("password", ["asha.menon@lab", "ASHA.menon@Lab", "ａｓｈａ.menon@lab"])  # noqa: RUF001 - wide letters
def test_the_name_of_the_account_is_no_password(password: str):
    assert why_not(password, account="asha.menon@lab") == "must not be the account's name"


@pytest.mark.parametrize(
    "password", ["password1234", "PassWord1234", "aaaaaaaaaaaaaaa", "Correct Horse Battery Staple"]
)
def test_what_is_tried_first_is_refused(password: str):
    assert "tried first" in why_not(password, field="new")


def test_every_obvious_password_would_be_allowed_otherwise():
    assert all(len(one) >= passwords.SHORTEST and one == one.casefold() for one in OBVIOUS)


@given(st.text(max_size=250))
def test_a_reason_never_repeats_the_password(password: str):
    try:
        check_new(password, account="asha")
    except ValidationFailed as refused:
        assert len(password) < 5 or password not in str(refused)  # noqa: PT017 - some are taken


def test_what_is_kept_is_scrypt_as_owasp_asks_and_fits_its_column():
    kept = digest(PASSWORD)
    assert kept.startswith("scrypt:32768:8:3$")
    assert len(kept) <= 255
    assert PASSWORD not in kept
    assert matches(PASSWORD, kept)


def test_the_same_password_is_kept_differently_each_time(quick):
    one, other = digest(PASSWORD), digest(PASSWORD)
    assert one != other
    assert matches(PASSWORD, one)
    assert matches(PASSWORD, other)


@given(st.text(min_size=1, max_size=40), st.text(max_size=40))
def test_only_the_password_matches(password: str, other: str):
    with quick_passwords():
        kept = digest(password)
        assert matches(password, kept)
        same = unicodedata.normalize("NFKC", password) == unicodedata.normalize("NFKC", other)
        assert matches(other, kept) is same


def test_a_password_is_the_same_from_every_keyboard(quick):
    assert matches("de\u0301ja\u0300 vu, twice", digest("d\u00e9j\u00e0 vu, twice"))


def test_what_was_kept_with_other_parameters_still_matches(quick, monkeypatch):
    kept = digest(PASSWORD)
    monkeypatch.setattr(passwords, "METHOD", "scrypt:512:8:1")
    assert matches(PASSWORD, kept)


def test_without_an_account_the_same_work_is_done(quick, monkeypatch):
    computed = []
    check = passwords.check_password_hash

    def record(kept: str, password: str) -> bool:
        computed.append(kept.partition("$")[0])
        return check(kept, password)

    monkeypatch.setattr(passwords, "check_password_hash", record)
    assert not matches(PASSWORD, None)
    assert not matches("another one", digest(PASSWORD))
    assert computed[0] == computed[1] == passwords.METHOD


def test_a_match_of_nobodys_hash_lets_nobody_in(quick, monkeypatch):
    monkeypatch.setattr(passwords, "check_password_hash", lambda *_: True)
    assert not matches(PASSWORD, None)


def test_few_compute_at_once_and_the_others_wait():
    at_work, most, lock = 0, 0, threading.Lock()

    def work(_number: int) -> None:
        nonlocal at_work, most
        with in_turn():
            with lock:
                at_work += 1
                most = max(most, at_work)
            time.sleep(0.005)
            with lock:
                at_work -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(passwords.MOST_WAITING // 2)))
    assert most == passwords.MOST_AT_ONCE


def test_who_would_wait_long_is_sent_away_and_places_are_given_back(monkeypatch):
    monkeypatch.setattr(passwords, "_places", threading.BoundedSemaphore(2))
    with in_turn(), in_turn(), pytest.raises(Overloaded, match="try again"), in_turn():
        pass
    with pytest.raises(RuntimeError), in_turn():
        raise RuntimeError
    with in_turn(), in_turn():
        pass
