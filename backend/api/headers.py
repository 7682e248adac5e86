"""What every answer tells browsers: guess no types, frame nothing, load nothing, tell nobody where you were."""

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DOCUMENTATION: Final = "/apidocs/"

_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_NOTHING: Final = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
# The page's scripts and styles are files of ours; the icons lie in its style sheet as data.
_LOADS: Final = "script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
_PAGE: Final = (
    "Content-Security-Policy",
    f"default-src 'none'; {_LOADS}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_TLS_ONLY: Final = ("Strict-Transport-Security", "max-age=31536000")  # a year

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class SecurityHeaders:
    """A WSGI application around another one, its fast lane included."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._next = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        policy = _PAGE if environ["PATH_INFO"] == DOCUMENTATION else _NOTHING
        # What a proxy says of TLS counts only where the server trusts the proxy: it decides the scheme.
        tls = (_TLS_ONLY,) if environ["wsgi.url_scheme"] == "https" else ()

        def start(status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None, /) -> Any:  # noqa: ANN401 - WSGI's write
            return start_response(status, [*headers, *_ALWAYS, policy, *tls], exc_info)

        return self._next(environ, start)


def init_headers(app: Flask) -> None:
    """Give every answer its headers; after the fast lane was put before Flask."""
    app.wsgi_app = SecurityHeaders(app.wsgi_app)  # type: ignore[method-assign] # the documented way
