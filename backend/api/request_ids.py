"""The id of a request: its caller's or a new one, in the answer and in every line that is logged meanwhile."""

import re
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from flask import Flask
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER: Final = "X-Request-Id"
ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class RequestIds:
    """A WSGI application around another one, its fast lane included: Flask's own hooks would close that."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._next = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        shown = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = shown if ACCEPTED.fullmatch(shown) else uuid4().hex

        def start(status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None, /) -> Any:  # noqa: ANN401 - WSGI's write
            return start_response(status, [*headers, (HEADER, request_id)], exc_info)

        clear_contextvars()
        bind_contextvars(request_id=request_id)
        try:
            answer = self._next(environ, start)
        except BaseException:
            clear_contextvars()
            raise
        is_file = isinstance(answer, environ.get("wsgi.file_wrapper", ()))
        if is_file:  # the kernel sends it, if it stays what it is
            clear_contextvars()
            return answer
        return ClosingIterator(answer, clear_contextvars)


def init_request_ids(app: Flask) -> None:
    """Give every request an id; after all else that wraps the application."""
    app.wsgi_app = RequestIds(app.wsgi_app)  # type: ignore[method-assign] # the documented way
