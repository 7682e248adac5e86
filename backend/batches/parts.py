"""What predictions and imports have in common: a file is laid out, its parts run as jobs, their files are joined."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from backend.batches.schemas import BatchRequest, ImportRequest, PartResult
from backend.errors import BadFile
from backend.extensions import current
from backend.files.storage import Storage, current_storage, measure
from backend.files.tables import FileRole, JobFile
from backend.files.views import FileView
from backend.jobs.context import JobContext
from backend.settings import Settings
from backend.tabular.columns import ERROR_COLUMNS, Column
from backend.tabular.formats import Format
from backend.tabular.layout import Layout, lay_out
from backend.tabular.writing import TableWriter, join_parts

_INPUT = "input"
_PARTS = "parts"


def input_path(storage: Storage, job_id: UUID, format_: Format) -> Path:
    """Return where the upload of a job lies."""
    return storage.folder(job_id) / f"{_INPUT}{format_.suffix}"


def upload_of(job_id: UUID, format_: Format) -> Path:
    """Return the upload of a job.

    Raises:
        BadFile: it is gone.
    """
    path = input_path(current_storage(), job_id, format_)
    if not path.is_file():
        raise BadFile("the upload is no longer there; send the file again")
    return path


def look_through(work: BatchRequest | ImportRequest, context: JobContext, *, part_bytes: int) -> Layout:
    """Find the columns and parts of a job's upload.

    Raises:
        BadFile: it is not what its format says, or it is gone.
    """
    return lay_out(
        upload_of(context.job_id, work.upload.format),
        work.upload.format,
        progress=lambda fraction: context.progress(fraction, "looking through the file"),
        part_bytes=part_bytes,
    )


def part_file(job_id: UUID, number: int, role: FileRole, format_: Format, columns: Sequence[Column]) -> TableWriter:
    """Return a writer of one file of one part; another attempt at the part writes the same."""
    path = part_path(job_id, number, role, format_)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return TableWriter(path, format_, columns)


def part_path(job_id: UUID, number: int, role: FileRole, format_: Format) -> Path:
    """Return where a file of a part lies."""
    return current_storage().folder(job_id) / _PARTS / f"{number:06}-{role}{format_.suffix}"


def gather(
    context: JobContext, results: Sequence[PartResult], *, format_: Format, result: Sequence[Column] | None
) -> list[FileView]:
    """Join the parts' files into those of the job, which are stored with its result; returns what they are.

    The parts stay until the job has succeeded, so that another attempt can do this again.
    """
    settings = cast("Settings", current("settings"))
    now = context.clock()
    expires_at = now + timedelta(days=settings.file_days)
    wanted = [(FileRole.RESULT, result)] if result is not None else []
    if any(part.failed for part in results):
        wanted.append((FileRole.ERRORS, ERROR_COLUMNS))
    views = []
    for role, columns in wanted:
        context.progress(0.99, f"writing the file {role}")
        path = current_storage().folder(context.job_id) / f"{role}{format_.suffix}"
        parts = [part_path(context.job_id, number, role, format_) for number in range(len(results))]
        join_parts(parts, path, format_, columns)
        found = measure(path)
        same = {"role": role, "format": format_, "bytes": found.bytes, "sha256": found.sha256, "expires_at": expires_at}
        context.store(JobFile(job_id=context.job_id, created_at=now, **same))
        views.append(FileView(**same))
    return views
