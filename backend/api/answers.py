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


def accepted(
    body: BaseModel, *, location: str, ended: bool, retry_after: str, repeated: bool = False, waited: bool = False
) -> Response:
    """Answer with work that was submitted: 202 and where to poll, or 200 when it has ended already.

    Args:
        body: how far the work is.
        location: where it can be polled.
        ended: whether that is worth nothing any more.
        retry_after: seconds until it is.
        repeated: whether the client's key stands for work of an earlier request.
        waited: whether the client preferred to wait, and could.
    """
    headers = {"Location": location}
    if repeated:
        headers["Idempotent-Replayed"] = "true"
    if waited:
        headers["Preference-Applied"] = "wait"
    if ended:
        return answer(body, headers=headers)
    return answer(body, status=HTTPStatus.ACCEPTED, headers=headers | {"Retry-After": retry_after})
