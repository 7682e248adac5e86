"""The fast lane of inference: Flask alone would take as long for a request as a small model for its answer."""

import re
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask

from backend.api.v2.inference import LARGEST_BODY, answer_rows

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


class FastLane:
    """A WSGI application before Flask's. It gives answers that succeed; all else is Flask's, as if this were not here.

    What an application does before its requests, such as asking who it is, is not done here: then it has them all.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._next = app.wsgi_app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        path = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        length = environ.get("CONTENT_LENGTH", "")
        if (
            path is None
            or not (length.isdigit() and int(length) <= LARGEST_BODY)
            or environ.get("HTTP_CONTENT_ENCODING")
            or any(self._app.before_request_funcs.values())
        ):
            return self._next(environ, start_response)
        content = environ["wsgi.input"].read(int(length))
        json_length = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH")
        models = self._app.extensions["models"]
        try:
            message = answer_rows(models, path[1], path[2], content, json_length=json_length)
        except Exception:  # noqa: BLE001 - once more, where every error gets its answer and its line in the log
            environ["wsgi.input"] = BytesIO(content)
            return self._next(environ, start_response)
        start_response("200 OK", list(message.headers))
        return [message.content]
