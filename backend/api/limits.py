"""How many requests one caller may send to one route, counted by Flask-Limiter on the broker's server.

The caller is the account where it is known, else the address of the connection. Logging in is counted by address and
name: nobody's guesses keep others out, and no name is guessed at from one address more than ten times a minute.
"""

import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from flask import Flask, current_app, request
from flask_limiter import Limit, Limiter, RequestLimit
from limits import parse
from pydantic import BaseModel, ValidationError

from backend.api.guard import current_principal
from backend.errors import TooMany, Unauthenticated, Unavailable
from backend.jobs.counts import SCHEME
from backend.security.refresh_tokens import RefreshTokens
from backend.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LOGINS: Final = frozenset({"api.auth.log_in", "api.auth.refresh"})
DECISIONS: Final = frozenset(
    {
        *(f"api.registry.{view}" for view in ("register", "stage", "promote", "rollback", "reload", "unload")),
        *(f"v2.v2_repository.{view}" for view in ("load", "unload")),
    }
)
"""What every process follows, some by loading a model."""
HEALTH: Final = frozenset(
    {
        *(f"api.health.{view}" for view in ("live", "ready")),
        *(f"v2.v2_metadata.{view}" for view in ("live", "ready")),
    }
)
"""What is asked by supervisors, which must not hear that they ask too often."""
INFER: Final = "v2.v2_inference.infer"
RATES: Final[Mapping[str, str]] = dict.fromkeys(LOGINS, "10/minute") | dict.fromkeys(DECISIONS, "30/minute")
LOGINS_OF_ADDRESS: Final = "100/minute"  # a password takes long to compute: one address must not take all the time
COUNTED: Final = "sanguine.counted"  # where the WSGI environment remembers that a request was let in


class RequestLimits:
    """Lets requests in, or refuses them; Flask asks before each one, and what is before Flask asks itself."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._most = settings.most_requests
        self._item = parse(self._most) if self._most else None
        self._limiter = Limiter(
            _caller,
            app=app,
            default_limits=[
                Limit(self._rate, exempt_when=_is_free),
                Limit(LOGINS_OF_ADDRESS, key_function=_address, scope="address", exempt_when=_is_no_login),
            ],
            on_breach=_refuse,
            storage_uri=f"{SCHEME}://",
            storage_options={"settings": settings},  # type: ignore[dict-item] # they are handed to our class
        )
        self.hook = app.before_request_funcs[None][-1]
        """What Flask calls before each request."""

    def admits(self, environ: "WSGIEnvironment", account: str, endpoint: str) -> bool:
        """Say whether a request of an account is let in, without Flask; Flask will not count it again."""
        if self._item is not None and not self._limiter.limiter.hit(self._item, _of_account(account), endpoint):
            return False
        environ[COUNTED] = True
        return True

    def _rate(self) -> str:
        return RATES.get(request.endpoint or "", self._most)


def init_limits(app: Flask) -> None:
    """Hold back callers who send too many requests."""
    app.extensions["request_limits"] = RequestLimits(app, app.extensions["settings"])


def _is_free() -> bool:
    return request.endpoint in HEALTH or COUNTED in request.environ


def _is_no_login() -> bool:
    return request.endpoint not in LOGINS


def _refuse(limit: RequestLimit) -> None:
    message = f"{limit.limit} requests are let in here from one caller; send more when Retry-After has passed"
    raise TooMany(message, retry_after=max(limit.reset_at - time.time(), 1.0))


def _caller() -> str:
    if request.endpoint in LOGINS:
        return f"{_address()} {_name_shown()}"
    try:
        return _of_account(current_principal().account)
    except (Unauthenticated, Unavailable):  # the guard says so, where it matters
        return _address()


def _of_account(account: str) -> str:
    return f"account {account}"


def _address() -> str:
    return f"address {request.remote_addr}"


class _Shown(BaseModel):
    """What tells whose login a request is about."""

    name: str = ""
    refresh_token: str = ""


def _name_shown() -> str:
    """Return a digest of the name or the login that a request shows: some people type their password as their name."""
    try:
        shown = _Shown.model_validate_json(request.get_data())
    except ValidationError:
        return ""
    settings: Settings = current_app.extensions["settings"]
    login = RefreshTokens(settings).login_of(shown.refresh_token) if shown.refresh_token else None
    return sha256(f"{shown.name} {login}".encode()).hexdigest()[:16]
