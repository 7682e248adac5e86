"""Writing an answer: one schema, serialised by pydantic, never cached by what lies between."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response
from pydantic import BaseModel


def answer(body: BaseModel, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Return `body` as JSON."""
    response = Response(body.model_dump_json(), status=status, content_type="application/json", headers=headers)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
