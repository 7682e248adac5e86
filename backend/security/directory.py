"""What the database says of accounts, keys and logins, remembered for a moment: every request asks."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar, cast
from uuid import UUID

from sqlalchemy import select

from backend.extensions import current, transaction
from backend.security.permissions import Permission, Role
from backend.security.tables import Account, ApiKey, Login

FRESH_SECONDS: Final = 2.0
"""How late a process may notice that a key was revoked, a role changed or an account disabled."""
MOST_KNOWN: Final = 10_000  # answers; then all are forgotten, so that guesses fill no memory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """An account that is not disabled."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that is not revoked, of an account that is not disabled."""

    id: str
    account: KnownAccount
    digest: str
    permissions: frozenset[Permission] | None
    expires_at: datetime | None
    last_used_at: datetime | None


class Directory:
    """Reads of accounts, keys and logins; each answer is at most `FRESH_SECONDS` old."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, object], tuple[float, object]] = {}
        self._lock = threading.Lock()

    def key(self, key_id: str) -> KnownKey | None:
        """Return a key by its id, or None if it may not be used."""
        return self._remembered(("key", key_id), lambda: _read_key(key_id))

    def account_of_login(self, login_id: UUID, name: str) -> KnownAccount | None:
        """Return the account of a login that has not ended, or None."""
        return self._remembered(("login", (login_id, name)), lambda: _read_login(login_id, name))

    def forget(self) -> None:
        """Read everything again when next asked: it was changed here."""
        self._known = {}

    def _remembered(self, asked: tuple[str, object], read: Callable[[], T]) -> T:
        now, memory = time.monotonic(), self._known
        known = memory.get(asked)
        if known is not None and now < known[0]:
            return cast("T", known[1])
        found = read()
        with self._lock:
            if len(memory) >= MOST_KNOWN:
                memory.clear()
            # By when the question was asked, and where nobody looks any more if something was changed meanwhile.
            memory[asked] = (now + FRESH_SECONDS, found)
        return found


def current_directory() -> Directory:
    """Return the directory of the current application."""
    return cast("Directory", current("directory"))


def _read_key(key_id: str) -> KnownKey | None:
    asked = select(ApiKey, Account.role).join(Account, Account.name == ApiKey.account)
    usable = asked.where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None), Account.disabled_at.is_(None))
    with transaction(read_only=True) as session:
        found = session.execute(usable).one_or_none()
    if found is None:
        return None
    key, role = found
    return KnownKey(
        id=key.id,
        account=KnownAccount(name=key.account, role=Role(role)),
        digest=key.digest,
        permissions=None if key.permissions is None else frozenset(map(Permission, key.permissions)),
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )


def _read_login(login_id: UUID, name: str) -> KnownAccount | None:
    asked = select(Account.role).join(Login, Login.account == Account.name)
    usable = asked.where(
        Login.id == login_id, Account.name == name, Login.ended_at.is_(None), Account.disabled_at.is_(None)
    )
    with transaction(read_only=True) as session:
        role = session.scalar(usable)
    return None if role is None else KnownAccount(name=name, role=Role(role))
