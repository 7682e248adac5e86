"""API keys: `sgk_<id>_<secret>`. The id is public; of the secret, 256 random bits, only an HMAC-SHA256 is kept.

A random secret of this length needs no slow hash; the HMAC's key is not in the database, so its copy opens nothing.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "sgk"
PURPOSE: Final = "api keys"
"""What `derive` makes the pepper for."""

_KEY = re.compile(rf"{PREFIX}_([0-9a-f]{{8}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown once, and what is kept of it."""

    id: str
    text: str
    digest: str


def make_key(pepper: bytes) -> NewKey:
    """Return a new key."""
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    return NewKey(id=key_id, text=f"{PREFIX}_{key_id}_{secret}", digest=digest(secret, pepper))


def split(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key; None if it is none."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def digest(secret: str, pepper: bytes) -> str:
    """Return what is kept of a secret, 64 hexadecimal digits."""
    return hmac.digest(pepper, secret.encode(), "sha256").hex()


def is_same(one: str, other: str) -> bool:
    """Compare two digests in a time that says nothing about where they differ."""
    return hmac.compare_digest(one, other)
