"""The fast lane of inference: Flask alone would take as long for a request as a small model for its answer."""

import re
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.datastructures import EnvironHeaders

from backend.api.limits import INFER, RequestLimits
from backend.api.v2.inference import LARGEST_BODY, answer_rows
from backend.errors import Forbidden
from backend.security.authentication import shown_by
from backend.security.permissions import Permission

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


class FastLane:
    """A WSGI application before Flask's. It gives answers that succeed; all else is Flask's, as if this were not here.

    What an application does before its requests is not done here, but for the limits: if it does more, it has them all.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._next = app.wsgi_app
        self._limits: RequestLimits = app.extensions["request_limits"]

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        path = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        length = environ.get("CONTENT_LENGTH", "")
        if (
            path is None
            or not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= LARGEST_BODY)
            or environ.get("HTTP_CONTENT_ENCODING")
            or self._app.before_request_funcs != {None: [self._limits.hook]}
        ):
            return self._next(environ, start_response)
        content = environ["wsgi.input"].read(int(length))
        json_length = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH")
        models = self._app.extensions["models"]
        try:
            headers = EnvironHeaders(environ)
            principal = self._app.extensions["authenticator"].identify(
                shown_by(headers.get, environ.get("REMOTE_ADDR"))
            )
            if not (principal.may(Permission.PREDICT) and self._limits.admits(environ, principal.account, INFER)):
                raise Forbidden  # noqa: TRY301 - Flask says so
            message = answer_rows(models, path[1], path[2], content, json_length=json_length)
        except Exception:  # noqa: BLE001 - once more, where every error gets its answer and its line in the log
            environ["wsgi.input"] = BytesIO(content)
            return self._next(environ, start_response)
        start_response("200 OK", list(message.headers))
        return [message.content]
