"""Requests and answers as they travel: JSON, and behind it the values as bytes where the client likes.

The bytes are Triton's binary tensor data extension, which its clients use unless they are told not to.
"""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest

from backend.api.parse import refuse_constant, unique
from backend.api.v2.schemas import OUTPUT, InferenceRequest
from backend.errors import MOST_SHOWN, FieldError, ValidationFailed, wrong_fields
from backend.inference.interfaces import Floats
from backend.inference.manifest import Manifest

JSON_LENGTH = "Inference-Header-Content-Length"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Message:
    """The body of an answer, and the headers that say what it is."""

    content: bytes
    headers: tuple[tuple[str, str], ...]


_DECODER = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=unique)


def parse(model: type[Model], content: bytes) -> Model:
    """Return JSON as `model`, whatever type the client said it is of: many say none.

    Raises:
        ValidationFailed: fields are wrong or missing.
        BadRequest: it is not JSON.
    """
    try:
        return model.model_validate(_DECODER.decode(content.decode()))
    except ValidationError as error:
        raise ValidationFailed(wrong_fields(error)[:MOST_SHOWN]) from None
    except UnicodeDecodeError:
        raise BadRequest("the body is not JSON in UTF-8") from None
    except RecursionError:
        raise BadRequest("the body is not valid JSON: too many lists in lists") from None
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None


def read_message(content: bytes, *, json_length: str | None) -> tuple[InferenceRequest, bytes]:
    """Return what a request asks for, and the bytes behind its JSON; `json_length` is what its header says.

    Raises:
        ValidationFailed: fields are wrong or missing, or another output is asked for than there is.
        BadRequest: it is not JSON, or not as long as the header says.
    """
    length = len(content) if json_length is None else _length(json_length, most=len(content))
    asked = parse(InferenceRequest, content[:length])
    for place, output in enumerate(asked.outputs):
        if output.name != OUTPUT:
            raise ValidationFailed((FieldError(f"outputs.{place}.name", f"the model has no output but {OUTPUT}"),))
    return asked, content[length:]


def write_message(asked: InferenceRequest, manifest: Manifest, values: Floats) -> Message:
    """Return the values (n,) of the output of a version, as the client asked for them."""
    output: dict[str, Any] = {"name": OUTPUT, "shape": [len(values)], "datatype": "FP64"}
    body: dict[str, Any] = {"model_name": manifest.name, "model_version": manifest.version, "outputs": [output]}
    if asked.id is not None:
        body["id"] = asked.id
    if _wants_bytes(asked):
        behind = values.astype("<f8").tobytes()
        output["parameters"] = {"binary_data_size": len(behind)}
        head = json.dumps(body).encode()
        return _message(head + behind, "application/octet-stream", (JSON_LENGTH, str(len(head))))
    output["data"] = values.tolist() if np.isfinite(values).all() else _or_null(values)
    return _message(json.dumps(body).encode(), "application/json")


def _length(said: str, *, most: int) -> int:
    if not said.isascii() or not said.isdigit() or len(said) > 9 or int(said) > most:
        raise BadRequest(f"{JSON_LENGTH} is not the length of the JSON in the body")
    return int(said)


def _message(content: bytes, kind: str, *more: tuple[str, str]) -> Message:
    length = ("Content-Length", str(len(content)))
    return Message(content, (("Content-Type", kind), length, ("Cache-Control", "no-store"), *more))


def _wants_bytes(asked: InferenceRequest) -> bool:
    every = asked.parameters.get("binary_data_output", False)
    wishes = [output.parameters.get("binary_data", every) for output in asked.outputs]
    return any(wish is True for wish in wishes or [every])


def _or_null(values: Floats) -> list[float | None]:
    """Return the values with null for those that are no number: JSON has no form for them."""
    return [value if finite else None for value, finite in zip(values.tolist(), np.isfinite(values), strict=True)]
