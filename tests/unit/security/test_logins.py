"""Logins: who gets in, how refresh tokens follow one another, and what ends a login."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, BoundedSemaphore
from uuid import UUID, uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from backend.errors import NotFound, Overloaded, Unauthenticated, ValidationFailed
from backend.extensions import transaction
from backend.security import accounts, logins, passwords
from backend.security.authentication import Shown, current_authenticator
from backend.security.directory import current_directory
from backend.security.logins import change_password, log_in, log_out, refresh, set_password
from backend.security.permissions import Role
from backend.security.refresh_tokens import digest
from backend.security.tables import Account, Login
from tests.people import PASSWORD, add_person, quick_passwords
from tests.said import said_by

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
WRONG = "four other words here"
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _in_app(app: Flask, monkeypatch: pytest.MonkeyPatch):
    """Everything here happens in an application with an empty database, on 1 March 2026 at 10:00."""
    monkeypatch.setattr("backend.security.tokens.utc_now", lambda: AT)
    with quick_passwords():
        yield


def login_of(tokens: logins.Tokens) -> Login:
    with transaction(read_only=True) as session:
        return session.get_one(Login, UUID(hex=tokens.refresh_token.split("_")[1]))


def account(name: str = "asha") -> Account:
    with transaction(read_only=True) as session:
        return session.get_one(Account, name)


def identify(tokens: logins.Tokens):
    shown = f"Bearer {tokens.access_token}"
    return current_authenticator().identify(Shown(shown, remote="10.0.0.9", host="sanguine", forwarded=False))


def is_refused(name: str = "asha", password: str = PASSWORD, at: datetime = AT) -> None:
    with pytest.raises(Unauthenticated) as refused:
        log_in(name, password, at)
    assert str(refused.value) == "name or password is wrong, or the account is locked"


def is_over(token: str, at: datetime = AT) -> None:
    with pytest.raises(Unauthenticated, match="log in again"):
        refresh(token, at)


def fail(times: int, at: datetime = AT) -> None:
    for _ in range(times):
        is_refused(password=WRONG, at=at)


def test_a_password_opens_a_login_and_its_tokens_say_whose_it_is():
    tokens = log_in(add_person(role=Role.AUDITOR), PASSWORD, AT)
    login = login_of(tokens)
    assert (login.account, login.created_at, login.refreshed_at, login.ended_at) == ("asha", AT, AT, None)
    assert login.expires_at == AT + timedelta(hours=12)
    assert tokens.expires_in == 600
    principal = identify(tokens)
    assert (principal.account, principal.role, principal.through) == ("asha", Role.AUDITOR, f"login {login.id}")


def test_nothing_that_is_stored_or_shown_by_repr_could_be_used():
    tokens = log_in(add_person(), PASSWORD, AT)
    login, person = login_of(tokens), account()
    stored = " ".join(str(value) for row in (login, person) for value in vars(row).values())
    for secret in (PASSWORD, tokens.refresh_token, tokens.access_token):
        assert secret not in stored
        assert secret not in repr(tokens)
    assert login.refresh_digest == digest(tokens.refresh_token)


def test_a_person_may_have_several_logins_and_ends_one():
    add_person()
    one, other = log_in("asha", PASSWORD, AT), log_in("asha", PASSWORD, AT)
    log_out(login_of(one).id, AT + SECOND)
    with pytest.raises(Unauthenticated, match="ended"):
        identify(one)
    assert identify(other).account == "asha"
    is_over(one.refresh_token)
    assert (login_of(one).ended_at, login_of(one).ended_because) == (AT + SECOND, "logged out")


def test_a_login_that_has_ended_stays_as_it_ended():
    tokens = log_in(add_person(), PASSWORD, AT)
    log_out(login_of(tokens).id, AT)
    log_out(login_of(tokens).id, AT + MINUTE)
    log_out(uuid4(), AT)
    set_password("asha", WRONG, by="bala", at=AT + MINUTE)
    assert (login_of(tokens).ended_at, login_of(tokens).ended_because) == (AT, "logged out")


@pytest.mark.parametrize("name", ["nobody", "", "\x00", "asha\x00", "Asha", "é" * 64, "development", "' or 1=1 --"])
def test_an_unknown_name_is_answered_like_a_wrong_password(name: str, monkeypatch: pytest.MonkeyPatch):
    computed = []
    monkeypatch.setattr(passwords, "matches", lambda password, kept: computed.append((password, kept)))
    add_person()
    is_refused(name)
    assert computed == [(PASSWORD, None)]  # the work was done all the same


def test_whoever_is_disabled_or_has_no_password_is_answered_the_same():
    add_person("disabled", disabled_at=AT)
    add_person("lab-system", role=Role.SERVICE, password=None)
    is_refused("disabled")
    is_refused("lab-system")
    is_refused("lab-system", "")


def test_five_failures_lock_the_account_for_a_minute_even_for_its_password():
    add_person()
    fail(5)
    is_refused(at=AT)
    is_refused(at=AT + MINUTE - SECOND)
    assert log_in("asha", PASSWORD, AT + MINUTE)
    assert (account().failed_logins, account().locked_until) == (0, None)


def test_four_failures_lock_nothing_and_a_success_forgets_them():
    add_person()
    for _ in range(3):
        fail(4)
        assert log_in("asha", PASSWORD, AT)


def test_a_lock_doubles_up_to_an_hour():
    add_person()
    fail(5)
    at, locks = AT, []
    for _ in range(9):
        until = account().locked_until
        locks.append((until - at) // MINUTE)
        at = until
        fail(1, at=at)
    assert locks == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_after_very_many_failures_the_lock_is_still_an_hour():
    add_person()
    with transaction() as session:
        session.get_one(Account, "asha").failed_logins = 1_000_000
    fail(1)
    assert account().locked_until == AT + timedelta(hours=1)


def test_whoever_knocks_at_a_locked_account_makes_it_no_worse():
    add_person()
    fail(5)
    fail(20, at=AT + 30 * SECOND)
    assert (account().failed_logins, account().locked_until) == (5, AT + MINUTE)


def test_one_account_that_is_locked_locks_no_other():
    add_person()
    add_person("bala")
    fail(5)
    assert log_in("bala", PASSWORD, AT)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 59, 60, 119, 121, 3_600])), max_size=20))
def test_whatever_is_tried_the_account_lets_in_exactly_who_has_the_password_while_it_is_not_locked(tries):
    with transaction() as session:
        session.execute(delete(Login))
        session.execute(delete(Account))
    add_person()
    at, failures, locked_until = AT, 0, AT
    for right, pause in tries:
        at += timedelta(seconds=pause)
        if right and at >= locked_until:
            assert log_in("asha", PASSWORD, at)
            failures = 0
        else:
            is_refused(password=PASSWORD if right else WRONG, at=at)
            if at >= locked_until:
                failures += 1
                if failures >= 5:
                    locked_until = at + min(timedelta(hours=1), MINUTE * 2 ** (failures - 5))
    assert account().failed_logins == failures


def test_guesses_that_are_sent_at_once_are_no_more_than_guesses_one_by_one(app: Flask, monkeypatch: pytest.MonkeyPatch):
    add_person()
    compared = []
    together = Barrier(12)
    monkeypatch.setattr(passwords, "matches", lambda _, kept: compared.append(kept is not None))

    def guess(_number: int) -> None:
        with app.app_context():
            together.wait()
            is_refused(password=WRONG)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(guess, range(12)))
    assert len(compared) == 12
    assert sum(compared) == 5


@pytest.mark.parametrize("change", ["disabled", "another password"])
def test_who_is_disabled_or_given_another_password_while_it_is_computed_does_not_get_in(change, monkeypatch):
    add_person()
    matches = passwords.matches

    def meanwhile(password: str, kept: str | None) -> bool:
        with transaction() as session:
            row = session.get_one(Account, "asha")
            if change == "disabled":
                row.disabled_at = AT
            else:
                row.password_hash = passwords.digest(WRONG)
        return matches(password, kept)

    monkeypatch.setattr(passwords, "matches", meanwhile)
    is_refused()
    with transaction(read_only=True) as session:
        assert session.scalars(select(Login)).all() == []


def test_who_is_sent_away_because_too_many_log_in_has_not_failed(monkeypatch: pytest.MonkeyPatch):
    add_person()
    places = BoundedSemaphore(1)
    monkeypatch.setattr(passwords, "_places", places)
    with places, pytest.raises(Overloaded):
        log_in("asha", PASSWORD, AT)
    assert account().failed_logins == 0


def test_a_refresh_gives_the_next_tokens_and_the_old_one_is_worth_nothing():
    tokens = log_in(add_person(), PASSWORD, AT)
    later = AT + 9 * MINUTE
    following = refresh(tokens.refresh_token, later)
    assert following.refresh_token != tokens.refresh_token
    assert following.access_token != tokens.access_token
    login = login_of(tokens)
    assert (login.refresh_digest, login.refreshed_at) == (digest(following.refresh_token), later)
    assert identify(following).through == f"login {login.id}"


def test_a_client_that_lost_the_answer_gets_the_same_refresh_token_within_ten_seconds():
    tokens = log_in(add_person(), PASSWORD, AT)
    first = refresh(tokens.refresh_token, AT + MINUTE)
    again = refresh(tokens.refresh_token, AT + MINUTE + 10 * SECOND)
    assert again.refresh_token == first.refresh_token
    assert login_of(tokens).refreshed_at == AT + MINUTE  # the ten seconds do not begin anew
    assert refresh(first.refresh_token, AT + 2 * MINUTE)


def test_a_stolen_refresh_token_that_is_used_twice_ends_the_login():
    stolen = log_in(add_person(), PASSWORD, AT).refresh_token
    thief = refresh(stolen, AT + MINUTE)
    assert identify(thief)
    with said_by(logins) as said:
        is_over(stolen, AT + MINUTE + 11 * SECOND)  # its owner
    assert [(one["event"], one["account"]) for one in said] == [("refresh_token_used_twice", "asha")]
    login = login_of(thief)
    assert (login.ended_at, login.ended_because) == (AT + MINUTE + 11 * SECOND, "a refresh token was used twice")
    is_over(thief.refresh_token, AT + MINUTE + 12 * SECOND)
    with pytest.raises(Unauthenticated):
        identify(thief)


def test_a_token_from_long_before_ends_the_login_too():
    tokens = log_in(add_person(), PASSWORD, AT)
    latest = tokens
    for minutes in (5, 10, 15):
        latest = refresh(latest.refresh_token, AT + minutes * MINUTE)
    is_over(tokens.refresh_token, AT + 15 * MINUTE)  # no grace for this one
    is_over(latest.refresh_token, AT + 15 * MINUTE)


def test_a_thief_who_asks_within_the_grace_is_found_out_at_the_next_refresh():
    tokens = log_in(add_person(), PASSWORD, AT)
    owner, thief = (refresh(tokens.refresh_token, AT + seconds * SECOND) for seconds in (60, 65))
    assert refresh(thief.refresh_token, AT + 5 * MINUTE)
    is_over(owner.refresh_token, AT + 6 * MINUTE)
    assert login_of(thief).ended_because == "a refresh token was used twice"


def test_a_token_that_somebody_made_up_ends_nothing():
    tokens = log_in(add_person(), PASSWORD, AT)
    login = login_of(tokens)
    for text in (f"sgr_{login.id.hex}_{'A' * 43}", tokens.refresh_token[:-1], tokens.refresh_token + "A", ""):
        is_over(text)
    assert refresh(tokens.refresh_token, AT + MINUTE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_no_text_refreshes_anything(text: str):
    is_over(text)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 9, 12, 600, 3_599, 3_601, 14_000])), max_size=12))
def test_whatever_tokens_are_shown_when_one_chain_goes_on_until_one_is_shown_late(shown):
    with transaction() as session:
        session.execute(delete(Login))
        session.execute(delete(Account))
    first = log_in(add_person(), PASSWORD, AT)
    chain, at, refreshed_at, ended = [first.refresh_token], AT, AT, False
    for back, pause in shown:
        at += timedelta(seconds=pause)
        place = max(len(chain) - 1 - back, 0)
        if ended or at >= AT + timedelta(hours=12) or at - refreshed_at >= timedelta(hours=1):
            is_over(chain[place], at)
        elif place == len(chain) - 1:
            chain.append(refresh(chain[place], at).refresh_token)
            refreshed_at = at
        elif place == len(chain) - 2 and at - refreshed_at <= timedelta(seconds=10):
            assert refresh(chain[place], at).refresh_token == chain[-1]
        else:
            is_over(chain[place], at)
            ended = True
    assert (login_of(first).ended_at is not None) is ended
    assert login_of(first).refresh_digest == digest(chain[-1])


def test_of_two_refreshes_at_once_one_exchanges_and_the_other_gets_what_it_got(app: Flask):
    tokens = log_in(add_person(), PASSWORD, AT)
    together = Barrier(2)

    def exchange(after: int) -> logins.Tokens:
        with app.app_context():
            together.wait()
            return refresh(tokens.refresh_token, AT + after * SECOND)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(exchange, (60, 61))
    assert one.refresh_token == other.refresh_token
    login = login_of(tokens)
    assert (login.ended_at, login.refresh_digest) == (None, digest(one.refresh_token))


def test_of_two_late_refreshes_at_once_with_a_used_token_none_gets_anything(app: Flask):
    tokens = log_in(add_person(), PASSWORD, AT)
    latest = refresh(tokens.refresh_token, AT + MINUTE)
    together = Barrier(2)

    def exchange(token: str) -> bool:
        with app.app_context():
            together.wait()
            try:
                refresh(token, AT + 2 * MINUTE)
            except Unauthenticated:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(exchange, (tokens.refresh_token, tokens.refresh_token))) == [False, False]
    is_over(latest.refresh_token, AT + 2 * MINUTE)


def test_a_login_lives_twelve_hours_however_often_it_is_refreshed_and_so_do_its_tokens():
    first = tokens = log_in(add_person(), PASSWORD, AT)
    for minutes in range(55, 12 * 60, 55):
        tokens = refresh(tokens.refresh_token, AT + minutes * MINUTE)
    assert login_of(first).expires_at == AT + timedelta(hours=12)
    near = refresh(tokens.refresh_token, AT + timedelta(hours=12) - 5 * MINUTE)
    assert near.expires_in == 300
    is_over(near.refresh_token, AT + timedelta(hours=12))


def test_a_login_ends_after_an_hour_without_a_refresh():
    tokens = log_in(add_person(), PASSWORD, AT)
    tokens = refresh(tokens.refresh_token, AT + timedelta(minutes=59, seconds=59))
    is_over(tokens.refresh_token, AT + timedelta(hours=1, minutes=59, seconds=59))


def test_a_role_that_changes_in_the_middle_of_a_login_counts_at_the_next_request():
    tokens = log_in(add_person(role=Role.CLINICIAN), PASSWORD, AT)
    assert identify(tokens).role is Role.CLINICIAN
    accounts.set_role("asha", Role.VIEWER, at=AT)
    assert identify(tokens).role is Role.VIEWER
    assert identify(refresh(tokens.refresh_token, AT + MINUTE)).role is Role.VIEWER


def test_a_disabled_account_has_no_valid_token():
    add_person("the-other-admin", role=Role.ADMIN)
    tokens = log_in(add_person(), PASSWORD, AT)
    accounts.disable("asha", at=AT)
    with pytest.raises(Unauthenticated):
        identify(tokens)
    is_over(tokens.refresh_token)
    accounts.enable("asha", at=AT)
    is_over(tokens.refresh_token)
    with pytest.raises(Unauthenticated):
        identify(tokens)


def test_an_account_that_is_disabled_behind_our_back_refreshes_nothing():
    tokens = log_in(add_person(), PASSWORD, AT)
    with transaction() as session:
        session.get_one(Account, "asha").disabled_at = AT
    current_directory().forget()
    is_over(tokens.refresh_token)
    with pytest.raises(Unauthenticated):
        identify(tokens)


def test_a_new_password_ends_the_logins_and_the_lock():
    tokens = log_in(add_person(), PASSWORD, AT)
    fail(5)
    set_password("asha", "quite another password", by="bala", at=AT + SECOND)
    login = login_of(tokens)
    assert (login.ended_at, login.ended_because) == (AT + SECOND, "the password was changed by bala")
    with pytest.raises(Unauthenticated):
        identify(tokens)
    is_refused(at=AT + SECOND)
    assert log_in("asha", "quite another password", AT + SECOND)


def test_a_password_that_is_refused_changes_nothing():
    tokens = log_in(add_person(), PASSWORD, AT)
    with pytest.raises(ValidationFailed, match="12 to 200"):
        set_password("asha", "short", by="bala", at=AT)
    with pytest.raises(ValidationFailed, match="new: must have"):
        change_password("asha", PASSWORD, "short", AT)
    assert identify(tokens)
    assert log_in("asha", PASSWORD, AT)


@pytest.mark.parametrize("name", ["nobody", "development", "\x00"])
def test_there_is_no_password_for_nobody(name: str):
    with pytest.raises(NotFound):
        set_password(name, PASSWORD, by="bala", at=AT)


def test_a_person_changes_their_password_by_showing_the_old_one():
    tokens = log_in(add_person(), PASSWORD, AT)
    change_password("asha", PASSWORD, "quite another password", AT)
    assert login_of(tokens).ended_because == "the password was changed by asha"
    is_refused()
    assert log_in("asha", "quite another password", AT)


def test_guessing_the_old_password_locks_the_account_as_logging_in_does():
    add_person()
    for _ in range(5):
        with pytest.raises(ValidationFailed, match="old: is not the password"):
            change_password("asha", WRONG, "quite another password", AT)
    with pytest.raises(ValidationFailed, match="or the account is locked"):
        change_password("asha", PASSWORD, "quite another password", AT)
    is_refused()
    assert log_in("asha", PASSWORD, AT + MINUTE)


def test_a_password_that_was_set_while_the_old_one_is_shown_stays(monkeypatch: pytest.MonkeyPatch):
    add_person()
    compute = passwords.digest

    def meanwhile(password: str) -> str:
        with transaction() as session:
            session.get_one(Account, "asha").password_hash = compute("from the administrator")
        return compute(password)

    monkeypatch.setattr(passwords, "digest", meanwhile)
    with pytest.raises(ValidationFailed, match="old"):
        change_password("asha", PASSWORD, "quite another password", AT)
    assert log_in("asha", "from the administrator", AT)


def test_failures_are_logged_by_account_and_names_that_are_none_are_not():
    add_person()
    with said_by(logins) as said:
        is_refused(password=WRONG)
        is_refused(name="my-secret-typed-into-the-name")
        log_in("asha", PASSWORD, AT)
    assert [(one["event"], one["account"]) for one in said] == [("login_failed", "asha"), ("logged_in", "asha")]
