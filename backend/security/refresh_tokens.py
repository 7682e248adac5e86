"""Refresh tokens: `sgr_<login>_<nonce and MAC>`, opaque to clients; of the one that is valid, a SHA-256 is kept.

The MAC says that a token was given out here. One that was and is not valid any more was used before, which a text that
somebody made up never looks like: only who held a token of a login can end it by showing it twice.

Each token follows from the one before, so that an answer that was lost on its way can be given again.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final
from uuid import UUID

from backend.security.secret import derive
from backend.settings import Settings

PREFIX: Final = "sgr"
HALF: Final = 16  # bytes of the nonce, and of the MAC

_TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]{{32}})_([A-Za-z0-9_-]{{43}})")


class RefreshTokens:
    """Writes and recognises the refresh tokens of this installation, with a key that follows from its secret."""

    def __init__(self, settings: Settings) -> None:
        self._key = derive(settings, "refresh tokens")

    def first(self, login: UUID) -> str:
        """Return the first token of a login."""
        return self._write(login, secrets.token_bytes(HALF))

    def following(self, token: str, login: UUID) -> str:
        """Return the token of a login that follows on another."""
        return self._write(login, self._mac(b"following", token.encode()))

    def login_of(self, text: str) -> UUID | None:
        """Return the login that a token was given out for; None if it was not given out here."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        login, nonce = UUID(found[1]), base64.urlsafe_b64decode(found[2] + "=")[:HALF]
        # Written again and compared as text, since several texts decode to the same bytes.
        return login if hmac.compare_digest(self._write(login, nonce), text) else None

    def _write(self, login: UUID, nonce: bytes) -> str:
        made = nonce + self._mac(b"token", login.bytes + nonce)
        return f"{PREFIX}_{login.hex}_{base64.urlsafe_b64encode(made).decode().rstrip('=')}"

    def _mac(self, purpose: bytes, of: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b" " + of, "sha256")[:HALF]


def digest(token: str) -> str:
    """Return what is kept of a token, 64 hexadecimal digits: its 256 random-looking bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
