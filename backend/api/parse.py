"""Reading a request: its JSON body, its query parameters, its Prefer header."""

import re
from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from backend.api.errors import validation_failed

Model = TypeVar("Model", bound=BaseModel)

LONGEST_WAIT = 30.0  # seconds; a waiting client holds a thread of the API


def body_as(model: type[Model]) -> Model:
    """Return the JSON body as `model`.

    Raises:
        ValidationFailed: fields are wrong, missing or unknown.
        BadRequest, UnsupportedMediaType, RequestEntityTooLarge: the body is not JSON, not said to be, or too large.
    """
    if not request.is_json:
        raise UnsupportedMediaType("send the body as JSON, with Content-Type: application/json")
    content = request.get_data(cache=False)
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest(f"the body is not valid JSON: {first['ctx']['error']}") from None
        raise validation_failed(error) from None


def query_as(model: type[Model]) -> Model:
    """Return the query parameters as `model`.

    Raises:
        ValidationFailed: parameters are wrong, missing, unknown or given twice.
    """
    try:
        values = {name: values if len(values) > 1 else values[0] for name, values in request.args.lists()}
        return model.model_validate(values)
    except ValidationError as error:
        raise validation_failed(error) from None


def preferred_wait() -> float:
    """Return the seconds that `Prefer: wait=n` (RFC 7240) asks for, at most LONGEST_WAIT, 0 without it.

    A preference that cannot be read is ignored, as the RFC asks.
    """
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?", request.headers.get("Prefer", ""))
    return min(float(found.group(1)), LONGEST_WAIT) if found else 0.0
