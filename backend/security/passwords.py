"""Passwords: which ones are taken, and what is kept of them.

What is kept is scrypt (RFC 7914) with a salt of its own, as werkzeug writes and reads it. N = 2^15, r = 8, p = 3 is one
of the equally strong settings of the OWASP Password Storage Cheat Sheet; each time takes 32 MiB and 0.3 s of a core.
"""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from werkzeug.security import check_password_hash, generate_password_hash

from backend.errors import FieldError, Overloaded, ValidationFailed

SHORTEST: Final = 12
LONGEST: Final = 200
METHOD: Final = "scrypt:32768:8:3"
OBVIOUS: Final = frozenset(
    {
        "123456789012",
        "1234567890123",
        "1q2w3e4r5t6y",
        "abcdefghijkl",
        "administrator",
        "administrator1",
        "changemechangeme",
        "correct horse battery staple",
        "correcthorsebatterystaple",
        "iloveyouiloveyou",
        "letmeinletmein",
        "passwordpassword",
        "password1234",
        "password12345",
        "password123456",
        "q1w2e3r4t5y6",
        "qwertyqwerty",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiopas",
        "sanguinesanguine",
        "sanguine1234",
        "sanguine12345",
        "welcome12345",
        "welcomewelcome",
    }
)
"""Those that are tried first, in small letters; shorter ones are refused anyway, as is one character repeated."""
MOST_AT_ONCE: Final = 2  # computations in one process: they take its cores and memory
MOST_WAITING: Final = 16  # with these; the other threads of the API are for those who are in
RETRY_AFTER: Final = 5.0  # seconds

_NOBODYS: Final = f"$nobody${'0' * 128}"  # salt and result; no password is known that gives it
_turns = threading.BoundedSemaphore(MOST_AT_ONCE)
_places = threading.BoundedSemaphore(MOST_WAITING)


def check_new(password: str, *, account: str, field: str = "password") -> None:
    """Let pass what may become the password of an account.

    Raises:
        ValidationFailed: it may not; the message says why, without the password.
    """
    small = _normal(password).casefold()
    if not SHORTEST <= len(_normal(password)) <= LONGEST:
        reason = f"must have {SHORTEST} to {LONGEST} characters"
    elif small == account.casefold():
        reason = "must not be the account's name"
    elif small in OBVIOUS or len(set(small)) == 1:
        reason = "is one of those that are tried first; take another, such as four words that have nothing in common"
    else:
        return
    raise ValidationFailed((FieldError(field, reason),))


def digest(password: str) -> str:
    """Return what is kept of a password; this takes a fraction of a second on purpose."""
    return generate_password_hash(_normal(password), METHOD)


def matches(password: str, kept: str | None) -> bool:
    """Whether it is the password of which this was kept; without any, the answer is no and takes as long."""
    right = check_password_hash(kept or METHOD + _NOBODYS, _normal(password))
    return right and kept is not None


@contextmanager
def in_turn() -> Iterator[None]:
    """Wait until few enough others compute in this process: many logins at once must not stop everything else.

    Raises:
        Overloaded: too many wait already.
    """
    if not _places.acquire(blocking=False):
        raise Overloaded("too many people log in at this moment; try again", retry_after=RETRY_AFTER)
    try:
        with _turns:
            yield
    finally:
        _places.release()


def _normal(password: str) -> str:
    """Return the form that is the same whichever keyboard it was typed on (NFKC, as NIST SP 800-63B asks)."""
    return unicodedata.normalize("NFKC", password)
