"""Reading a request: its JSON body, its query parameters, its Prefer header."""

import json
import re
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, TypeAdapter, ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from backend.errors import MOST_SHOWN, FieldError, ValidationFailed, wrong_fields

Model = TypeVar("Model", bound=BaseModel)

_OBJECT = TypeAdapter(dict[str, Any])
LONGEST_WAIT = 30.0  # seconds; a waiting client holds a thread of the API


def body_as(model: type[Model], **from_path: object) -> Model:
    """Return the JSON body as `model`, with what the path says; a body may be left out where the path says enough.

    Raises:
        ValidationFailed: fields are wrong, missing or unknown, or the path says them already.
        BadRequest, UnsupportedMediaType, RequestEntityTooLarge: the body is not JSON, not said to be, or too large.
    """
    content = request.get_data(cache=False)
    if from_path and not content:
        content = b"{}"
    elif not request.is_json:
        raise UnsupportedMediaType("send the body as JSON, with Content-Type: application/json")
    try:
        if not from_path:
            return model.model_validate_json(content)
        fields = _OBJECT.validate_json(content)
        if doubled := fields.keys() & from_path.keys():
            raise ValidationFailed(tuple(FieldError(name, "the path says it already") for name in sorted(doubled)))
        # As JSON again: strings are read as dates and the like only there.
        return model.model_validate_json(json.dumps(fields | from_path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest(f"the body is not valid JSON: {first['ctx']['error']}") from None
        raise ValidationFailed(wrong_fields(error)[:MOST_SHOWN]) from None


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
        return model.model_validate(values | from_path)
    except ValidationError as error:
        raise ValidationFailed(wrong_fields(error)) from None


def preferred_wait() -> float:
    """Return the seconds that `Prefer: wait=n` (RFC 7240) asks for, at most LONGEST_WAIT, 0 without it.

    A preference that cannot be read is ignored, as the RFC asks.
    """
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?", request.headers.get("Prefer", ""))
    return min(float(found.group(1)), LONGEST_WAIT) if found else 0.0
