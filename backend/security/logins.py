"""Logins of people: a password opens one, tokens that follow one another keep it, and it ends."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID, uuid4

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.errors import FieldError, NotFound, Unauthenticated, ValidationFailed
from backend.extensions import current, transaction
from backend.security import passwords
from backend.security.accounts import find_account
from backend.security.directory import current_directory
from backend.security.keys import is_same
from backend.security.refresh_tokens import RefreshTokens, digest
from backend.security.tables import Account, Login
from backend.security.tokens import LIFETIME, AccessTokens
from backend.settings import Settings

MOST_FAILURES: Final = 5  # in a row; the last of them locks the account
SHORTEST_LOCK: Final = timedelta(minutes=1)  # doubled by each further failure
LONGEST_LOCK: Final = timedelta(hours=1)
LONGEST_LOGIN: Final = timedelta(hours=12)
LONGEST_REST: Final = timedelta(hours=1)  # between two refreshes
GRACE: Final = timedelta(seconds=10)
"""How long the answer to a refresh can be had again: a client whose connection broke before it came asks twice.

What comes is the same refresh token and not a second one, so that never more than one is valid: a thief who asks within
these seconds shares it with its owner, and the second of them who uses it after that ends the login.
"""
NOT_IN: Final = "name or password is wrong, or the account is locked"
ENDED: Final = "the refresh token is not one, or its login has ended; log in again (POST /api/ml/auth/login)"
USED_TWICE: Final = "a refresh token was used twice"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client shows from now on; `expires_in` is in seconds, and the access token's."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


def log_in(name: str, password: str, at: datetime) -> Tokens:
    """Open a login.

    Raises:
        Unauthenticated: not with this name and this password now; the message is the same whatever the reason.
        Overloaded: too many people log in at this moment.
    """
    proven = _prove(name, password, at)
    if proven is None:
        raise Unauthenticated(NOT_IN)
    login_id, refresh_tokens = uuid4(), RefreshTokens(_settings())
    token = refresh_tokens.first(login_id)
    login = Login(
        id=login_id,
        account=name,
        refresh_digest=digest(token),
        created_at=at,
        refreshed_at=at,
        expires_at=at + LONGEST_LOGIN,
    )
    with transaction() as session:
        account = find_account(session, name, for_update=True)
        if account.disabled_at is not None or account.password_hash != proven:
            raise Unauthenticated(NOT_IN)  # it changed while the password was computed
        account.failed_logins, account.locked_until = 0, None
        session.add(login)
    log.info("logged_in", account=name, login_id=str(login_id))
    return _tokens(login, token, at)


def refresh(token: str, at: datetime) -> Tokens:
    """Exchange a refresh token for the next one, and a new access token; one that was used before ends the login.

    Raises:
        Unauthenticated: it is not the token that is valid now, or the login has ended.
    """
    refresh_tokens = RefreshTokens(_settings())
    login_id = refresh_tokens.login_of(token)
    if login_id is None:
        raise Unauthenticated(ENDED)
    following = refresh_tokens.following(token, login_id)
    with transaction() as session:
        # The row is locked while it is looked at: of two clients at once one exchanges, the other comes after it.
        login = session.get(Login, login_id, with_for_update=True)
        if login is None or not _lives(session, login, at):
            raise Unauthenticated(ENDED)
        if is_same(login.refresh_digest, digest(token)):
            login.refresh_digest, login.refreshed_at = digest(following), at
        elif not is_same(login.refresh_digest, digest(following)) or at - login.refreshed_at > GRACE:
            login.ended_at, login.ended_because = at, USED_TWICE
    if login.ended_at is not None:
        current_directory().forget()
        log.warning("refresh_token_used_twice", account=login.account, login_id=str(login.id))
        raise Unauthenticated(ENDED)
    return _tokens(login, following, at)


def log_out(login_id: UUID, at: datetime) -> None:
    """End a login; one that has ended stays as it is."""
    with transaction() as session:
        ending = update(Login).where(Login.id == login_id, Login.ended_at.is_(None))
        session.execute(ending.values(ended_at=at, ended_because="logged out"))
    current_directory().forget()


def set_password(account: str, password: str, by: str, at: datetime) -> None:
    """Give an account a password; its logins end, and it is not locked any more.

    Raises:
        ValidationFailed: the password may not be one.
        NotFound: there is no such account.
        Overloaded: too many passwords are computed at this moment.
    """
    passwords.check_new(password, account=account)
    with passwords.in_turn():
        kept = passwords.digest(password)
    with transaction() as session:
        _keep(session, find_account(session, account, for_update=True), kept, by, at)
    current_directory().forget()


def change_password(account: str, old: str, new: str, at: datetime) -> None:
    """Give an account another password instead of the one it has; its logins end.

    Raises:
        ValidationFailed: the old one is wrong, the account is locked, or the new one may not be a password.
        Overloaded: too many passwords are computed at this moment.
    """
    passwords.check_new(new, account=account, field="new")
    wrong = ValidationFailed((FieldError("old", "is not the password, or the account is locked"),))
    proven = _prove(account, old, at)
    if proven is None:
        raise wrong
    with passwords.in_turn():
        kept = passwords.digest(new)
    with transaction() as session:
        row = find_account(session, account, for_update=True)
        if row.password_hash != proven:
            raise wrong  # somebody set another one in the meantime
        _keep(session, row, kept, account, at)
    current_directory().forget()


def _prove(name: str, password: str, at: datetime) -> str | None:
    """Return what is kept of an account's password if this is it and may be tried now, else None.

    A try counts as failed before it is made: guesses that are sent at once are as few as guesses one after the other.
    """
    with passwords.in_turn():
        kept = _count_try(name, at)
        # Computed in any case: how long it takes does not tell whether there is such an account.
        right = passwords.matches(password, kept)
    if right:
        return kept
    if kept is not None:  # a name that is unknown is not logged: people type their password there
        log.warning("login_failed", account=name)
    return None


def _count_try(name: str, at: datetime) -> str | None:
    """Return what is kept of an account's password, or None if nothing may be tried; those tries do not count."""
    with transaction() as session:
        try:
            account = find_account(session, name, for_update=True)
        except NotFound:
            return None
        if account.disabled_at is not None or account.password_hash is None:
            return None
        if account.locked_until is not None and at < account.locked_until:
            return None
        account.failed_logins += 1
        if (more := account.failed_logins - MOST_FAILURES) >= 0:
            account.locked_until = at + min(LONGEST_LOCK, SHORTEST_LOCK * 2 ** min(more, 10))
        return account.password_hash


def _lives(session: Session, login: Login, at: datetime) -> bool:
    account = session.get(Account, login.account)
    return (
        login.ended_at is None
        and at < login.expires_at
        and at - login.refreshed_at < LONGEST_REST
        and account is not None
        and account.disabled_at is None
    )


def _keep(session: Session, account: Account, kept: str, by: str, at: datetime) -> None:
    account.password_hash, account.failed_logins, account.locked_until = kept, 0, None
    ending = update(Login).where(Login.account == account.name, Login.ended_at.is_(None))
    session.execute(ending.values(ended_at=at, ended_because=f"the password was changed by {by}"))


def _tokens(login: Login, refresh_token: str, at: datetime) -> Tokens:
    until = min(at + LIFETIME, login.expires_at)
    access_token = AccessTokens(_settings()).sign(login.account, login.id, at=at, until=until)
    return Tokens(access_token, refresh_token, int((until - at).total_seconds()))


def _settings() -> Settings:
    return cast("Settings", current("settings"))
