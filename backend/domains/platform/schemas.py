"""What the platform's own jobs are asked and answer."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class CleanupRequest(BaseModel):
    """The cleanup takes no options: what is old is a matter of the settings."""

    model_config = ConfigDict(extra="forbid")


class CleanedTable(BaseModel):
    """What left one table."""

    table: str
    before: datetime = Field(description="Rows older than this could leave.")
    rows: int = Field(ge=0)
    files: list[str] = Field(description="The archives that hold them, in the folder `archive` of the data folder.")


class CleanupResult(BaseModel):
    """What left the database."""

    rows: int = Field(ge=0)
    tables: list[CleanedTable]
