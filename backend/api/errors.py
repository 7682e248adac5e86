"""The one translator from errors to HTTP: RFC 9457 problem details, never with data of people in them."""

from http import HTTPStatus
from math import ceil
from typing import BinaryIO

import structlog
from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from backend.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Gone,
    InputError,
    ModelError,
    NotFound,
    Overloaded,
    SanguineError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnknownModel,
    ValidationFailed,
)

log = structlog.get_logger()

STATUS: tuple[tuple[type[SanguineError], HTTPStatus], ...] = (
    (ValidationFailed, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Gone, HTTPStatus.GONE),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (Conflict, HTTPStatus.CONFLICT),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnknownModel, HTTPStatus.NOT_FOUND),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (ModelError, HTTPStatus.SERVICE_UNAVAILABLE),
)
RETRY_AFTER = "5"  # seconds
MOST_DRAINED = 256 * 2**20  # bytes of a refused body that are read before the connection closes


def problem(
    status: int, code: str, detail: str, *, fields: tuple[FieldError, ...] = (), headers: dict[str, str] | None = None
) -> Response:
    """Return a problem+json answer; `errors` lists the wrong fields of a request."""
    body: dict[str, object] = {
        "type": f"urn:sanguine:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
    }
    if fields:
        body["errors"] = [{"field": field.field, "reason": field.reason} for field in fields]
    return Response(json.dumps(body), status=status, content_type="application/problem+json", headers=headers)


def _drain() -> None:
    """Read the rest of a refused body and forget it.

    A client that is still sending when the connection closes sees a reset in place of the answer.
    """
    stream: BinaryIO = request.environ["wsgi.input"]
    length = MOST_DRAINED if request.environ.get("wsgi.input_terminated") else request.content_length or 0
    left = min(length, MOST_DRAINED)  # a terminated body ends by itself, also a chunked one, whose length nobody knows
    try:
        while left > 0 and (chunk := stream.read(min(left, 65_536))):
            left -= len(chunk)
    except Exception as error:  # noqa: BLE001 - each server has its own errors for a body that is broken
        log.info("body_not_drained", error=type(error).__name__)


def init_errors(app: Flask) -> None:
    """Answer every error of the tree, every HTTP error and every surprise with problem details."""

    @app.errorhandler(SanguineError)
    def _ours(error: SanguineError) -> Response:
        _drain()
        status = next((s for kind, s in STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {"Retry-After": RETRY_AFTER} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
        if status is HTTPStatus.UNAUTHORIZED:
            headers = {"WWW-Authenticate": "Bearer"}
        if isinstance(error, (TooMany, Overloaded)):
            headers = {"Retry-After": str(ceil(error.retry_after))}
        fields = error.fields if isinstance(error, ValidationFailed) else ()
        return problem(status, error.code, str(error), fields=fields, headers=headers)

    @app.errorhandler(RequestEntityTooLarge)
    def _too_large(_error: RequestEntityTooLarge) -> Response:
        _drain()
        limit = request.max_content_length or 0
        return problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"the body may have at most {limit:,} bytes"
        )

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        _drain()
        status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        code = HTTPStatus(status).phrase.lower().replace(" ", "_")
        headers = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
        return problem(status, code, error.description or HTTPStatus(status).description, headers=headers)

    @app.errorhandler(Exception)
    def _surprise(error: Exception) -> Response:
        # A boundary: a fault of ours is an answer, not a dropped connection. Its text may quote data: type only.
        log.error("request_failed", error=type(error).__name__)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "an error of the server; its log has the details"
        )
