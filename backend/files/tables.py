"""The files of a job; the bytes lie in the data folder, this says which there are and until when."""

from datetime import datetime
from enum import StrEnum
from typing import cast
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import Table, UtcDateTime


class FileRole(StrEnum):
    """What a file is to its job."""

    INPUT = "input"
    RESULT = "result"
    ERRORS = "errors"


class JobFile(Table):
    """One file of a job; it can be read until `expires_at`, and not once it is removed."""

    __tablename__ = "job_file"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    format: Mapped[str] = mapped_column(String(16))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


JOB_FILE = cast("CoreTable", JobFile.__table__)
