"""How far the work on a file has come, added up over its parts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from backend.batches.imports import IMPORT_FILE
from backend.batches.predict import PREDICT_FILE
from backend.batches.schemas import FileWorkView, PartResult
from backend.clock import utc_now
from backend.errors import NotFound
from backend.extensions import transaction
from backend.files.views import list_files
from backend.jobs.states import FINAL
from backend.jobs.tables import JOB
from backend.jobs.views import view

KINDS = (PREDICT_FILE.name, IMPORT_FILE.name)


def get_file_work(job_id: UUID) -> FileWorkView:
    """Return a batch or an import with its progress, rate and files.

    Raises:
        NotFound: there is no such job, or it is of another kind.
    """
    with transaction(read_only=True) as session:
        job = session.execute(select(JOB).where(JOB.c.id == job_id, JOB.c.kind.in_(KINDS))).one_or_none()
        if job is None:
            raise NotFound("batch or import", job_id)
        parts = session.execute(
            select(JOB.c.result, JOB.c.created_at, JOB.c.finished_at).where(JOB.c.parent_id == job_id)
        ).all()
    results = [PartResult.model_validate(part.result) for part in parts if part.result is not None]
    known: dict[str, int] = job.result or job.checkpoint or {}  # the checkpoint goes when the result comes
    rows = known.get("rows")
    done = sum(result.rows for result in results)
    ended = [part.finished_at for part in parts if part.finished_at is not None]
    until = max(ended, default=utc_now()) if job.state in FINAL else utc_now()
    rate = _rate(done, parts[0].created_at, until) if parts else None
    shown = view(job)
    return FileWorkView(
        id=shown.id,
        kind=shown.kind,
        state=shown.state,
        cancelling=shown.cancelling,
        rows=rows,
        done=done,
        failed=sum(result.failed for result in results),
        rows_per_second=rate,
        eta_seconds=None if rate is None or rows is None or job.state in FINAL else (rows - done) / rate,
        parts=len(parts) or None,
        parts_done=len(results),
        created_at=shown.created_at,
        finished_at=shown.finished_at,
        error=shown.error,
        result=shown.result,
        files=list_files(job_id),
    )


def _rate(done: int, since: datetime, until: datetime) -> float | None:
    seconds = (until - since).total_seconds()
    return done / seconds if done and seconds > 0 else None
