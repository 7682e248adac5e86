"""The job engine's tables: a job is a row, and so is each attempt at it.

What happens to every job is written with statements on `JOB`, `ATTEMPT` and `MODEL_LOG` that are built once: building
one, or going through mapped objects, takes several times as long as running it.
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Text, Uuid
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import BigId, Table, UtcDateTime
from backend.jobs.states import JobState


class Job(Table):
    """One unit of work. `attempt` is the fencing token: only the attempt that holds it may write an outcome."""

    __tablename__ = "job"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    kind: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), default=JobState.QUEUED)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # how far a long job has come
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[float] = mapped_column(Float, default=0.0)  # 0 to 1
    progress_note: Mapped[str | None] = mapped_column(String(200))
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    max_attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    available_at: Mapped[datetime] = mapped_column(UtcDateTime)  # not claimed before
    rung_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when the broker was last told
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of the current attempt
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # No foreign key: SQLite cannot add one to a table that others refer to.
    parent_id: Mapped[UUID | None] = mapped_column(Uuid)  # the job that this one is a part of
    part: Mapped[int | None] = mapped_column(Integer)  # its place among the parts, from 0
    parts_at_once: Mapped[int | None] = mapped_column(Integer)  # of a job with parts: how many are released at a time


# Claims and the reconciler look only at queued and running rows: partial indexes stay small however long the history.
_QUEUED = Job.state == JobState.QUEUED.value
_RUNNING = Job.state == JobState.RUNNING.value
Index("ix_job_queued", Job.kind, Job.available_at, sqlite_where=_QUEUED, postgresql_where=_QUEUED)
Index("ix_job_running", Job.lease_until, sqlite_where=_RUNNING, postgresql_where=_RUNNING)
_WAITING = Job.state == JobState.WAITING.value
Index("ix_job_waiting", Job.id, sqlite_where=_WAITING, postgresql_where=_WAITING)
Index("ix_job_created_at", Job.created_at)  # listing, newest first
_PART = Job.parent_id.is_not(None)
Index("ix_job_parent_id", Job.parent_id, Job.part, sqlite_where=_PART, postgresql_where=_PART)


class JobAttempt(Table):
    """One claim of a job by a worker, written before the work starts."""

    __tablename__ = "job_attempt"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(16))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)


class ModelPredictionLog(Table):
    """What one successful attempt asked of one model: which version, how many rows, how long."""

    __tablename__ = "model_prediction_log"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    model: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    calls: Mapped[int] = mapped_column(Integer)
    rows: Mapped[int] = mapped_column(Integer)
    seconds: Mapped[float] = mapped_column(Float)


JOB = cast("CoreTable", Job.__table__)
ATTEMPT = cast("CoreTable", JobAttempt.__table__)
MODEL_LOG = cast("CoreTable", ModelPredictionLog.__table__)
