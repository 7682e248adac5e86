"""What is known about one version of a model: `manifest.json` beside its weights."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from backend.ml.drift import Bins

MODEL_MAP = "model_map.json"
MANIFEST = "manifest.json"
GOLDEN = "golden.json"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A file or folder name that cannot lead out of its folder."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """One input column, in the model's order."""

    name: str
    dtype: Literal["float64", "float32", "int64", "int32"] = "float64"
    unit: str
    description: str


class Calibration(_Part):
    """Recalibration of a probability: sigmoid(slope * logit(p) + intercept), fitted on data that chose nothing."""

    slope: float = Field(gt=0.0)
    intercept: float


class Training(_Part):
    """Where the weights come from."""

    data: str
    fingerprint: str
    seed: int
    rows: int
    since: str
    until: str
    code: str | None = None
    """Version of the code that trained them, such as a commit."""
    parent: PlainName | None = None
    """Version of the same model that they were trained from."""


class Reference(_Part):
    """Where the columns and the calibrated output lay when the model was trained, to see later how far they moved."""

    rows: int = Field(ge=1)
    columns: dict[str, Bins]
    output: Bins

    @classmethod
    def fit(cls, names: tuple[str, ...], rows: NDArray[np.float64], outputs: NDArray[np.float64]) -> Self:
        """Cut the named columns of `rows` (n, k) and the `outputs` (n,) into bins, and count."""
        columns = {name: Bins.fit(rows[:, place]) for place, name in enumerate(names)}
        return cls(rows=len(rows), columns=columns, output=Bins.fit(outputs))


class Manifest(_Part):
    """One version of one model. `parameters` are learnt numbers that the domain reads, such as interval curves."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: PlainName
    runtime: str
    file: PlainName
    files: dict[PlainName, Digest]
    columns: tuple[Column, ...] = Field(min_length=1)
    output: str
    calibration: Calibration | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    training: Training
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    reference: Reference | None = None

    @model_validator(mode="after")
    def _reference_of_every_column(self) -> Self:
        if self.reference is not None and set(self.reference.columns) != set(self.column_names):
            raise ValueError("the reference must have the columns of the model, and no other")
        return self

    @property
    def sha256(self) -> str:
        """The digest of the weights."""
        return self.files[self.file]

    @property
    def identity(self) -> str:
        """A digest of all that makes the version: two may have the same weights and be calibrated differently."""
        return digest(self.model_dump_json().encode())

    @property
    def column_names(self) -> tuple[str, ...]:
        """Input column names in the model's order."""
        return tuple(column.name for column in self.columns)


class Golden(_Part):
    """Rows with the runtime's outputs, before calibration, that the version must reproduce wherever it is loaded."""

    rows: tuple[tuple[float | None, ...], ...] = Field(min_length=1)  # None stands for NaN
    outputs: tuple[float, ...] = Field(min_length=1)
    tolerance: float = Field(default=1e-6, ge=0.0)

    @model_validator(mode="after")
    def _one_output_per_row(self) -> Self:
        if len(self.rows) != len(self.outputs):
            raise ValueError(f"{len(self.rows)} rows but {len(self.outputs)} outputs")
        if len({len(row) for row in self.rows}) != 1:
            raise ValueError("rows differ in length")
        return self


class CatalogueEntry(_Part):
    """The version of a model that is served, and the digest its manifest must have."""

    version: PlainName
    manifest_sha256: Digest


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_version(root: Path, manifest: Manifest, contents: dict[str, bytes]) -> Path:
    """Write `contents` and their manifest to `root/<name>/<version>/`, and enter that version in the catalogue.

    The manifest's own `files` are replaced by the digests of `contents`.

    Raises:
        ValueError: the weights or the golden rows are not among `contents`, or a name in it is not a plain file name.
    """
    for needed in (manifest.file, GOLDEN):
        if needed not in contents:
            raise ValueError(f"{needed} is missing: a version is its weights and the golden rows it must reproduce")
    files = {name: digest(content) for name, content in sorted(contents.items())}
    final = Manifest.model_validate({**manifest.model_dump(), "files": files})
    text = (final.model_dump_json(indent=1) + "\n").encode()
    folder = root / manifest.name / manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST).write_bytes(text)
    _enter(root / MODEL_MAP, manifest.name, CatalogueEntry(version=manifest.version, manifest_sha256=digest(text)))
    return folder


def _enter(model_map: Path, name: str, entry: CatalogueEntry) -> None:
    models = json.loads(model_map.read_bytes())["models"] if model_map.exists() else {}
    models[name] = entry.model_dump()
    # Replaced in one step, so that a process that reads the catalogue now sees the old one or the new one.
    draft = model_map.with_suffix(".json.new")
    draft.write_text(json.dumps({"models": dict(sorted(models.items()))}, indent=1) + "\n", encoding="utf-8")
    draft.replace(model_map)
