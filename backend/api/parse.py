"""Reading a request: its path, its JSON body, its query parameters, its Prefer header."""

import json
import re
from typing import Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, TypeAdapter, ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.routing import Map, UnicodeConverter

from backend.errors import MOST_SHOWN, FieldError, ValidationFailed, wrong_fields

Model = TypeVar("Model", bound=BaseModel)

_OBJECT = TypeAdapter(dict[str, Any])
LONGEST_WAIT = 30.0  # seconds; a waiting client holds a thread of the API
ZERO = "holds a zero character, which no database stores"

_ESCAPED_ZERO = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Name(UnicodeConverter):
    """A name in a path: any text without a slash, or a zero character, which no database stores."""

    def __init__(self, map: Map) -> None:  # noqa: A002 - werkzeug's signature
        super().__init__(map)
        self.regex = r"[^/\x00]+"


def body_as(model: type[Model], **from_path: object) -> Model:
    """Return the JSON body as `model`, with what the path says; a body may be left out where the path says enough.

    Raises:
        ValidationFailed: fields are wrong, missing or unknown, or the path says them already.
        BadRequest, UnsupportedMediaType, RequestEntityTooLarge: the body is not JSON, not said to be, or too large.
    """
    content = whole_body()
    if from_path and not content:
        content = b"{}"
    elif not request.is_json:
        raise UnsupportedMediaType("send the body as JSON, with Content-Type: application/json")
    try:
        if not from_path:
            asked = model.model_validate_json(content)
            _check_text(content)
            return asked
        fields = _OBJECT.validate_json(content)
        _check_text(content)
        if doubled := fields.keys() & from_path.keys():
            raise ValidationFailed(tuple(FieldError(name, "the path says it already") for name in sorted(doubled)))
        # As JSON again: strings are read as dates and the like only there.
        return model.model_validate_json(json.dumps(fields | from_path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest(f"the body is not valid JSON: {first['ctx']['error']}") from None
        raise ValidationFailed(wrong_fields(error)[:MOST_SHOWN]) from None


def whole_body() -> bytes:
    """Return the body as it was sent.

    Raises:
        UnsupportedMediaType: it is compressed.
        RequestEntityTooLarge: it is larger than it may be.
    """
    refuse_compressed()
    content = request.get_data(cache=False)
    # Of a body in chunks, whose length nobody said, werkzeug reads as much as it may have and no more.
    if request.content_length is None and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return content


def refuse_compressed() -> None:
    """See that the body is sent as it is: a small one may hold any number of bytes compressed.

    Raises:
        UnsupportedMediaType: it is not.
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("the body is compressed; send it as it is, without Content-Encoding")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON of which each name is there once: readers differ in which of two they take.

    Raises:
        ValueError: a name is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def refuse_constant(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON does not know.

    Raises:
        ValueError: in any case.
    """
    raise ValueError(f"{constant} is not JSON; null stands for a missing value")


def _check_text(content: bytes) -> None:
    """See that JSON is what pydantic does not ask for: without constants, doubled names and zero characters.

    Raises:
        BadRequest, ValidationFailed: it is not.
    """
    try:
        json.loads(content, object_pairs_hook=unique, parse_constant=refuse_constant)
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if b"u0000" in content and _ESCAPED_ZERO.search(content):
        raise ValidationFailed((FieldError("", ZERO),))


def query_as(model: type[Model], besides: type[BaseModel] | None = None, /, **from_path: object) -> Model:
    """Return the query parameters as `model`, with what the path says; those of `besides` are somebody else's.

    Raises:
        ValidationFailed: parameters are wrong, missing, unknown or given twice.
    """
    try:
        others = besides.model_fields if besides is not None else {}
        values = {
            name: values if len(values) > 1 else values[0]
            for name, values in request.args.lists()
            if name not in others
        }
        if doubled := values.keys() & from_path.keys():
            raise ValidationFailed(tuple(FieldError(name, "the path says it already") for name in sorted(doubled)))
        if zeros := [name for name, value in values.items() if "\x00" in value]:
            raise ValidationFailed(tuple(FieldError(name, ZERO) for name in zeros))
        return model.model_validate(values | from_path)
    except ValidationError as error:
        raise ValidationFailed(wrong_fields(error)) from None


def preferred_wait() -> float:
    """Return the seconds that `Prefer: wait=n` (RFC 7240) asks for, at most LONGEST_WAIT, 0 without it.

    A preference that cannot be read is ignored, as the RFC asks.
    """
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?", request.headers.get("Prefer", ""))
    return min(float(found.group(1)), LONGEST_WAIT) if found else 0.0
