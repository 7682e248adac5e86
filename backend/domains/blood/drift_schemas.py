"""What the measurement of drift accepts and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.domains.blood.drift_rows import WATCHED
from backend.domains.blood.schemas import Input
from backend.ml.drift import Verdict


def _watched(value: str) -> str:
    if value not in WATCHED:
        raise ValueError(f"unknown model; one of {', '.join(WATCHED)}")
    return value


WatchedModel = Annotated[str, AfterValidator(_watched), Field(json_schema_extra={"enum": list(WATCHED)})]


class DriftRequest(Input):
    """Compare the asks of the last 28 days with what the models were trained on."""


class ColumnDrift(BaseModel):
    """How far one column lies from its reference."""

    model_config = ConfigDict(from_attributes=True)

    column: str = Field(description="`output` for what the model says.")
    n: int = Field(description="Asks looked at.")
    effect: float | None = Field(description="Population stability index; null if there are too few asks to say.")
    p: float | None = Field(description="Chance of such a shift if nothing had changed, before others are considered.")
    verdict: Verdict


class ModelDrift(BaseModel):
    """What was found of one model."""

    model: str
    version: str
    n: int = Field(description="Asks looked at.")
    columns: int = Field(description="Columns compared, the output among them.")
    drifted: int
    worst: list[ColumnDrift] = Field(description="Those that drifted, the furthest first, at most five.")
    reason: str | None = Field(description="Why nothing was compared, null when something was.")


class DriftResult(BaseModel):
    """What a measurement found; its rows are read with GET /drift."""

    at: datetime
    since: datetime
    models: list[ModelDrift]


class DriftQuery(Input):
    """Whose latest report to read."""

    model: WatchedModel | None = Field(default=None, description="Without it, all models.")


class ReportedColumn(ColumnDrift):
    """One row of a report."""

    model: str
    version: str


class DriftPage(BaseModel):
    """The latest report."""

    at: datetime
    job_id: UUID
    columns: list[ReportedColumn]
