"""From what a request shows to who it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, cast

from backend.clock import utc_now
from backend.errors import Unauthenticated
from backend.extensions import current
from backend.security import keys
from backend.security.directory import Directory
from backend.security.last_use import LastUse
from backend.security.permissions import PERMISSIONS
from backend.security.principals import DEVELOPMENT, Principal
from backend.security.secret import derive
from backend.security.tokens import AccessTokens
from backend.settings import Environment, Settings

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via")
"""Headers by which a proxy tells that the request is somebody else's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of who sends it."""

    authorization: str | None
    remote: str | None  # address of the connection
    host: str | None  # the Host header
    forwarded: bool  # whether a proxy sent it on, or a page of another site


class Authenticator:
    """Tells who a request comes from."""

    def __init__(self, settings: Settings, directory: Directory) -> None:
        self._open = settings.environment is Environment.DEVELOPMENT
        self._settings = settings
        self._directory = directory
        self._last_use = LastUse()
        self._pepper: bytes | None = None
        self._tokens: AccessTokens | None = None

    def identify(self, shown: Shown) -> Principal:
        """Return who sends a request: by a key, by a token, or, on a development machine, by being there.

        Raises:
            Unauthenticated: nobody knows; the message says what to show.
            Unavailable: the database does not answer.
        """
        if shown.authorization is None:
            if self._open and _is_local(shown):
                return DEVELOPMENT
            raise Unauthenticated(
                "show who you are: `Authorization: Bearer …` with an API key (flask keys create) or an access token"
            )
        scheme, _, text = shown.authorization.partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise Unauthenticated("the header must read `Authorization: Bearer …`, with an API key or an access token")
        return self._by_key(*key) if (key := keys.split(text)) else self._by_token(text)

    def _by_key(self, key_id: str, secret: str) -> Principal:
        known = self._directory.key(key_id)
        if self._pepper is None:
            self._pepper = derive(self._settings, keys.PURPOSE)
        # The digest is made in any case: how long it takes does not tell whether there is such a key.
        shown = keys.digest(secret, self._pepper)
        if known is None or not keys.is_same(shown, known.digest):
            raise Unauthenticated("there is no such API key, or it was revoked")
        now = utc_now()
        if known.expires_at is not None and known.expires_at <= now:
            raise Unauthenticated(f"the API key {key_id} has expired; rotate it (flask keys rotate)")
        allowed = PERMISSIONS[known.account.role]
        if known.permissions is not None:
            allowed &= known.permissions
        self._last_use.note(known, now)
        return Principal(known.account.name, known.account.role, allowed, f"key {key_id}")

    def _by_token(self, text: str) -> Principal:
        if self._tokens is None:
            self._tokens = AccessTokens(self._settings)
        claims = self._tokens.read(text)
        account = self._directory.account_of_login(claims.login, claims.account)
        if account is None:
            raise Unauthenticated("the login has ended; log in again")
        permissions = PERMISSIONS[account.role]
        return Principal(account.name, account.role, permissions, f"login {claims.login}", login=claims.login)


def current_authenticator() -> Authenticator:
    """Return the authenticator of the current application."""
    return cast("Authenticator", current("authenticator"))


def shown_by(header: Callable[[str], str | None], remote: str | None) -> Shown:
    """Return what a request shows; `header` finds one by its name, whatever its case."""
    host, origin = header("Host"), header("Origin")
    # Browsers say where the page is from that asks; other programs say nothing of the kind.
    foreign = origin is not None and origin.partition("://")[2] != host
    foreign |= header("Sec-Fetch-Site") not in {None, "same-origin", "none"}
    return Shown(
        authorization=header("Authorization"),
        remote=remote,
        host=host,
        forwarded=foreign or any(header(name) is not None for name in FORWARDED),
    )


def _is_local(shown: Shown) -> bool:
    """Whether somebody at this machine asks: not through a proxy, nor a page whose name leads here."""
    name = (shown.host or "").rpartition(":")
    host = name[0] if name[1] and name[2].isdigit() else shown.host
    try:
        loopback = shown.remote is not None and ip_address(shown.remote).is_loopback
    except ValueError:
        return False
    return loopback and host in LOCAL_NAMES and not shown.forwarded
