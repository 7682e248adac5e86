"""The description of the Open Inference Protocol's routes."""

from typing import Any

from pydantic import BaseModel

from backend.api.openapi_parts import JSON, Described, Paths, operation
from backend.api.v2.schemas import (
    Decided,
    Index,
    IndexRequest,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ProtocolError,
    RepositoryRequest,
    ServerLive,
    ServerMetadata,
    ServerReady,
)

INPUTS: tuple[type[BaseModel], ...] = (InferenceRequest, IndexRequest, RepositoryRequest)
OUTPUTS: tuple[type[BaseModel], ...] = (
    *(InferenceResponse, ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady),
    *(Index, Decided, ProtocolError),
)
TAG = "open inference protocol"


def describe_v2(paths: Paths) -> None:
    """Describe inference, metadata, health and the model repository; `paths` begin at /v2."""

    def add(method: str, path: str, name: str, summary: str, answers: Described, **more: Any) -> None:
        paths.add(method, path, operation(f"v2.{name}", TAG, summary, answers), **more)

    add("get", "", "server", "Get the name and extensions of the server", paths.ok(ServerMetadata))
    add("get", "/health/live", "live", "Say that the process runs", paths.ok(ServerLive))
    unready = paths.ok(ServerReady, status="503", says="They cannot.")
    add("get", "/health/ready", "ready", "Say whether requests can be served", paths.ok(ServerReady) | unready)
    described = paths.ok(ModelMetadata) | refused(paths, 404, 503)
    asked = paths.ok(ModelReady) | paths.ok(ModelReady, status="503", says="It cannot be loaded.") | refused(paths, 404)
    predicted = paths.ok(InferenceResponse) | refused(paths, 400, 404, 413, 415, 422, 503)
    body = paths.body(InferenceRequest)
    for path, of in (("/models/<model>", ""), ("/models/<model>/versions/<version>", "_version")):
        add("get", path, f"model{of}", "Get what a model takes and gives", described)
        add("get", f"{path}/ready", f"model_ready{of}", "Say whether a model can be asked", asked)
        add("post", f"{path}/infer", f"infer{of}", "Predict rows now", predicted, requestBody=body)
    listed = paths.ok(Index) | refused(paths, 400, 422, 503)
    optional = {"required": False}
    add(
        "post", "/repository/index", "index", "List the models", listed, requestBody=paths.body(IndexRequest) | optional
    )
    decided = paths.ok(Decided) | refused(paths, 400, 404, 409, 422, 503)
    body = paths.body(RepositoryRequest) | optional
    add("post", "/repository/models/<model>/load", "load", "Serve a model, or load it anew", decided, requestBody=body)
    add("post", "/repository/models/<model>/unload", "unload", "Serve no version of a model", decided, requestBody=body)


def refused(paths: Paths, *statuses: int) -> Described:
    """Return the descriptions of refusals in the protocol's form."""
    content = {JSON: {"schema": paths.refs[ProtocolError]}}
    return {str(status): {"description": "Refused; `error` says why.", "content": content} for status in statuses}
