"""The answers of the Open Inference Protocol as JSON schemas, written from its specification (inference_rest.md)."""

from typing import Any

import jsonschema

Schema = dict[str, Any]


def an_object(required: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
PARAMETERS: Schema = {"type": "object"}
SHAPE: Schema = {"type": "array", "items": {"type": "integer", "minimum": -1}}
NAMES = ["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"]
DATATYPE: Schema = {"enum": [*NAMES, "BYTES"]}
TENSOR = an_object({"name": STRING, "datatype": DATATYPE, "shape": SHAPE})
TENSORS: Schema = {"type": "array", "items": TENSOR}

SERVER = an_object({"name": STRING, "version": STRING, "extensions": {"type": "array", "items": STRING}})
MODEL = an_object(
    {"name": STRING, "platform": STRING, "inputs": TENSORS, "outputs": TENSORS},
    {"versions": {"type": "array", "items": STRING}},
)
LIVE = an_object({"live": BOOLEAN})
MODEL_READY = an_object({"name": STRING, "ready": BOOLEAN})
OUTPUT = an_object(
    {"name": STRING, "shape": SHAPE, "datatype": DATATYPE, "data": {"type": "array"}}, {"parameters": PARAMETERS}
)
INFERENCE = an_object(
    {"model_name": STRING, "outputs": {"type": "array", "items": OUTPUT}},
    {"model_version": STRING, "id": STRING, "parameters": PARAMETERS},
)
ERROR = an_object({"error": {"type": "string", "minLength": 1}})
INDEX: Schema = {
    "type": "array",
    "items": an_object({"name": STRING, "state": STRING, "reason": STRING}, {"version": STRING}),
}


def conforms(response, schema: Schema, *, status: int = 200) -> Any:
    """Return the JSON of an answer that is what the protocol says."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/json"
    assert status >= 400 or response.headers["Cache-Control"] == "no-store"
    jsonschema.validate(response.json, schema)
    return response.json


def refused(response, status: int, code: str) -> str:
    """Return the message of a refusal."""
    body = conforms(response, ERROR, status=status)
    assert body["code"] == code
    assert set(body) == {"error", "code"}
    message: str = body["error"]
    return message
