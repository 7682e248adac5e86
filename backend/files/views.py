"""A job's files as clients see them."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import select

from backend.errors import Gone, NotFound
from backend.extensions import transaction
from backend.files.storage import Storage
from backend.files.tables import FileRole, JobFile


class FileView(BaseModel):
    """One file of a job; GET /jobs/<id>/files/<role> sends it, with Range."""

    role: FileRole
    format: str
    bytes: int
    sha256: str
    expires_at: datetime = Field(description="Removed after this moment; then its address answers 410.")


class FileList(BaseModel):
    """The files of a job."""

    files: list[FileView]


def list_files(job_id: UUID) -> list[FileView]:
    """Return the files of a job that can be downloaded."""
    with transaction(read_only=True) as session:
        query = select(JobFile).where(JobFile.job_id == job_id, JobFile.removed_at.is_(None)).order_by(JobFile.role)
        return [
            FileView(
                role=FileRole(file.role),
                format=file.format,
                bytes=file.bytes,
                sha256=file.sha256,
                expires_at=file.expires_at,
            )
            for file in session.scalars(query)
        ]


def find_file(storage: Storage, job_id: UUID, role: str, *, now: datetime) -> tuple[JobFile, Path]:
    """Return a job's file and where it lies.

    Raises:
        NotFound: the job has no such file.
        Gone: it had one, which has expired.
    """
    with transaction(read_only=True) as session:
        file = session.get(JobFile, (job_id, role))
    if file is None:
        raise NotFound(f"file {role!r} of job", job_id)
    path = storage.folder(job_id) / f"{file.role}.{file.format}"
    if file.removed_at is not None or file.expires_at < now or not path.is_file():
        raise Gone(f"the file {role!r} of job {job_id} expired at {file.expires_at.isoformat()}; submit it again")
    return file, path
