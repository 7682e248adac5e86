"""What work on files is asked and answers."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.files.views import FileView
from backend.jobs.moments import Moment
from backend.jobs.states import JobState
from backend.jobs.views import JobError
from backend.tabular.formats import Format
from backend.tabular.layout import Part


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BatchQuery(_Input):
    """What to ask about each row, and how to answer."""

    model: str | None = Field(default=None, description="A model of the catalogue; rows have its columns.")
    scorer: str | None = Field(default=None, description="A question of a domain, such as blood.availability.")
    format: Format | None = Field(default=None, description="Of results and errors; without it, that of the upload.")
    as_of: Moment | None = Field(
        default=None, description="The moment a scorer answers about; without it, that of the submission."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.model is None) == (self.scorer is None):
            raise ValueError("give either model or scorer")
        return self


class RowsRequest(BatchQuery):
    """A batch with its rows in the request; large ones are uploaded as CSV, NDJSON or Parquet."""

    rows: list[dict[str, Any]] = Field(min_length=1)


class Upload(_Input):
    """The file that came in."""

    format: Format
    bytes: int
    sha256: str


class BatchRequest(_Input):
    """A batch as it is stored; the rows lie in the job's folder."""

    model: str | None = None
    scorer: str | None = None
    as_of: Moment
    upload: Upload
    format: Format


class ImportRequest(_Input):
    """An import as it is stored."""

    into: str
    upload: Upload


class PartRequest(_Input):
    """One part of the work on a file."""

    file_of: UUID  # the job in whose folder the file lies
    work: BatchRequest | ImportRequest
    columns: tuple[str, ...]  # of the file
    part: Part
    identities: dict[str, str] = {}  # of the models, by name: all parts see the same
    doubles: tuple[tuple[int, int], ...] = ()  # rows whose key an earlier row has, and that row


class PartResult(BaseModel):
    """What became of a part's rows."""

    rows: int
    failed: int
    changes: dict[str, int] = {}


class BatchResult(BaseModel):
    """What became of a file's rows; the answers are in the files."""

    rows: int
    done: int
    failed: int = Field(description="Rows in the file of errors; the others are in the result.")
    models: dict[str, str] = Field(description="Model versions used.")
    files: list[FileView]


class ImportResult(BaseModel):
    """What became of a file's rows; refused ones are in the file of errors."""

    rows: int
    created: int
    updated: int
    unchanged: int
    failed: int
    files: list[FileView]


class FileWorkView(BaseModel):
    """How far the work on a file has come."""

    id: UUID
    kind: str
    state: JobState
    cancelling: bool
    rows: int | None = Field(description="Rows of the file; null until it was looked through.")
    done: int = Field(description="Rows whose part has ended.")
    failed: int = Field(description="Those of them that are in the file of errors.")
    rows_per_second: float | None
    eta_seconds: float | None = Field(description="Until the last part ends at this rate.")
    parts: int | None
    parts_done: int
    created_at: datetime
    finished_at: datetime | None
    error: JobError | None
    result: dict[str, Any] | None
    files: list[FileView]
