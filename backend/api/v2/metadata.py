"""What answers, whether it can, and what its models take and give."""

from http import HTTPStatus

from flask import Blueprint, Response

from backend.api import health
from backend.api.answers import answer
from backend.api.guard import open_to_all, requires
from backend.api.openapi_parts import VERSION
from backend.api.v2.schemas import (
    OUTPUT,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from backend.api.v2.served import current_models, served
from backend.errors import ArtifactError
from backend.security.permissions import Permission

EXTENSIONS = ["binary_tensor_data", "model_repository"]
DATATYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "int32": "INT32"}
PLATFORMS = {"onnx": "onnx_onnxv1"}  # as the protocol names it; it has no names for the others

blueprint = Blueprint("v2_metadata", __name__)


@blueprint.get("", strict_slashes=False)
@open_to_all
def server() -> Response:
    """Say what answers here."""
    return answer(ServerMetadata(name="sanguine", version=VERSION, extensions=EXTENSIONS))


@blueprint.get("/health/live")
@open_to_all
def live() -> Response:
    """Say that the process runs."""
    return answer(ServerLive(live=True))


@blueprint.get("/health/ready")
@open_to_all
def ready() -> Response:
    """Say whether requests can be served, as the installation's own readiness says."""
    found = health.ready()
    headers = {name: value for name, value in found.headers.items() if name == "Retry-After"}
    return answer(ServerReady(ready=found.status_code == HTTPStatus.OK), status=found.status_code, headers=headers)


@blueprint.get("/models/<model>")
@blueprint.get("/models/<model>/versions/<version>")
@requires(Permission.READ_MODELS)
def describe(model: str, version: str | None = None) -> Response:
    """Describe the version that is served, column by column."""
    manifest = served(current_models(), model, version).manifest
    return answer(
        ModelMetadata(
            name=manifest.name,
            versions=[manifest.version],
            platform=PLATFORMS.get(manifest.runtime, manifest.runtime),
            inputs=[
                TensorMetadata(name=column.name, datatype=DATATYPES[column.dtype], shape=[-1])
                for column in manifest.columns
            ],
            outputs=[TensorMetadata(name=OUTPUT, datatype="FP64", shape=[-1])],
        )
    )


@blueprint.get("/models/<model>/ready")
@blueprint.get("/models/<model>/versions/<version>/ready")
@requires(Permission.READ_MODELS)
def model_ready(model: str, version: str | None = None) -> Response:
    """Say whether a model can be asked now; it is loaded if it is not yet."""
    try:
        served(current_models(), model, version)
    except ArtifactError:
        return answer(ModelReady(name=model, ready=False), status=HTTPStatus.SERVICE_UNAVAILABLE)
    return answer(ModelReady(name=model, ready=True))
