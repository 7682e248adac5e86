"""Predictions that are answered at once."""

from flask import Blueprint, Response, request

from backend.api.guard import requires
from backend.api.parse import whole_body
from backend.api.v2.messages import JSON_LENGTH, Message, read_message, write_message
from backend.api.v2.served import current_models, served
from backend.api.v2.tensors import read_rows
from backend.errors import ColumnsMismatch, FieldError, ValidationFailed
from backend.inference.client import ModelClient
from backend.security.permissions import Permission

LARGEST_BODY = 20_000_000  # bytes

blueprint = Blueprint("v2_inference", __name__)


@blueprint.post("/models/<model>/infer")
@blueprint.post("/models/<model>/versions/<version>/infer")
@requires(Permission.PREDICT)
def infer(model: str, version: str | None = None) -> Response:
    """Predict the rows of a request."""
    request.max_content_length = LARGEST_BODY
    content = whole_body()
    said = answer_rows(current_models(), model, version, content, json_length=request.headers.get(JSON_LENGTH))
    return Response(said.content, headers=said.headers)


def answer_rows(
    models: ModelClient, model: str, version: str | None, content: bytes, *, json_length: str | None
) -> Message:
    """Predict the rows of a message; all of them, and the version in the answer, are of one model in memory.

    Raises:
        ValidationFailed: the tensors do not fit each other, their types or the model.
        BadRequest: the message is not JSON.
        NotFound, ArtifactError, Unavailable: as `served`.
    """
    pinned = served(models, model, version)
    asked, binary = read_message(content, json_length=json_length)
    rows = read_rows(asked.inputs, binary, pinned.manifest.column_names)
    try:
        values = pinned.predict(rows)
    except ColumnsMismatch as error:
        raise ValidationFailed((FieldError("inputs", str(error)),)) from error
    return write_message(asked, pinned.manifest, values)
