"""What the Open Inference Protocol says over HTTP. What a client sends beyond these fields is left aside."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

OUTPUT = "predict"
"""The name of the one output tensor: what clients of tabular models expect."""

Shape = list[Annotated[int, Field(ge=0)]]
Parameters = dict[str, Any]


class _Sent(BaseModel):
    model_config = ConfigDict(strict=True)


class RequestInput(_Sent):
    """One input tensor: all columns, in the model's order, or the column of its name."""

    name: str
    shape: Shape = Field(min_length=1, max_length=2, description="[rows, columns], [rows] or [rows, 1].")
    datatype: str = Field(description="BOOL, INT8 to INT64, UINT8 to UINT64, FP16, FP32 or FP64.")
    parameters: Parameters = Field(default_factory=dict, description="`binary_data_size`: its values follow the JSON.")
    data: list[Any] | None = Field(
        default=None, description="The values, row after row, flat or a list for each row; null is a missing value."
    )


class RequestOutput(_Sent):
    """One output tensor that is wanted."""

    name: str
    parameters: Parameters = Field(default_factory=dict, description="`binary_data`: send its values behind the JSON.")


class InferenceRequest(_Sent):
    """Rows to be predicted now."""

    id: str | None = Field(default=None, description="Comes back in the answer.")
    parameters: Parameters = Field(
        default_factory=dict, description="`binary_data_output`: send all outputs behind the JSON."
    )
    inputs: list[RequestInput] = Field(min_length=1)
    outputs: list[RequestOutput] = Field(default_factory=list, description="All outputs when none is named.")


class ResponseOutput(BaseModel):
    """One output tensor."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = Field(default=None, description="`binary_data_size`: its values follow the JSON.")
    data: list[float | None] | None = Field(default=None, description="null where the model gave no number.")


class InferenceResponse(BaseModel):
    """The outputs, and the version that they are from."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


class ServerMetadata(BaseModel):
    """What answers here."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the process runs."""

    live: bool


class ServerReady(BaseModel):
    """Whether requests can be served."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model can be asked now."""

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """One tensor; -1 stands for any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The version of a model that is served."""

    name: str
    versions: list[str] = Field(description="Those that may be named in a path: the one that is served.")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexRequest(_Sent):
    """Which models to list."""

    ready: bool = Field(default=False, description="Only those that can be asked.")


class IndexEntry(BaseModel):
    """One model; `reason` says why it cannot be asked."""

    name: str
    version: str = Field(default="", description="Empty when none is served.")
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


class Index(RootModel[list[IndexEntry]]):
    """The models of this installation."""


class RepositoryRequest(_Sent):
    """A decision about what is served."""

    parameters: Parameters = Field(default_factory=dict)


class Decided(BaseModel):
    """How far a decision is carried out."""

    name: str
    summary: str = Field(description="Such as: 2 of 2 converged.")


class ProtocolError(BaseModel):
    """Why a request was refused; `code` is stable and machine-readable."""

    error: str
    code: str
