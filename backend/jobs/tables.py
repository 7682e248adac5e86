"""The job engine's tables: a job is a row, and so is each attempt at it.

What happens to every job is written with statements on `JOB`, `ATTEMPT` and `MODEL_LOG` that are built once: building
one, or going through mapped objects, takes several times as long as running it.
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    Uuid,
    and_,
    false,
    true,
)
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import BigId, Table, UtcDateTime
from backend.jobs.states import UNFINISHED, JobState, Priority


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
    part: Mapped[int | None] = mapped_column(Integer)  # its place among the parts, or in its bulk, from 0
    parts_at_once: Mapped[int | None] = mapped_column(Integer)  # of a job with parts: how many are released at a time
    bulk_id: Mapped[UUID | None] = mapped_column(Uuid)  # the jobs that were submitted in one call
    client: Mapped[str | None] = mapped_column(String(64))  # who submitted it; nobody for what runs by the clock
    priority: Mapped[int] = mapped_column(SmallInteger, default=Priority.NORMAL, server_default="3")
    start_by: Mapped[datetime | None] = mapped_column(UtcDateTime)  # not begun for the first time after this
    finish_by: Mapped[datetime | None] = mapped_column(UtcDateTime)  # does not succeed after this
    unique_key: Mapped[str | None] = mapped_column(String(64))  # one unfinished job may have it
    first_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    model_seconds: Mapped[float | None] = mapped_column(Float)  # that the successful attempt waited for models
    notify: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())  # somebody awaits its end
    callback: Mapped[str | None] = mapped_column(String(2000))  # where to say so, beside the registered webhooks
    replay_of: Mapped[UUID | None] = mapped_column(Uuid)  # the dead letter whose request this job took over
    resolution: Mapped[str | None] = mapped_column(String(16))  # what became of a dead letter
    resolution_reason: Mapped[str | None] = mapped_column(String(500))
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# Claims, limits and the reconciler look only at unfinished rows, and dead letters are few: partial indexes stay small
# however long the history.
def _partial(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_UNFINISHED = Job.state.in_(sorted(state.value for state in UNFINISHED))
_QUEUED = Job.state == JobState.QUEUED.value
_DEAD = and_(Job.state.in_(("dead", "failed")), Job.resolution.is_(None), Job.parent_id.is_(None))
_partial("ix_job_queued", Job.kind, Job.priority, Job.available_at, where=_QUEUED)
_partial("ix_job_urgent", Job.queue, Job.available_at, where=and_(_QUEUED, Job.priority == Priority.URGENT.value))
_partial("ix_job_running", Job.lease_until, where=Job.state == JobState.RUNNING.value)
_partial("ix_job_waiting", Job.id, where=Job.state == JobState.WAITING.value)
_partial("ix_job_client", Job.client, Job.queue, Job.state, where=_UNFINISHED)
_partial("ix_job_start_by", Job.start_by, where=and_(_QUEUED, Job.start_by.is_not(None)))
_partial("ix_job_finish_by", Job.finish_by, where=and_(_UNFINISHED, Job.finish_by.is_not(None)))
_partial("uq_job_unique_key", Job.unique_key, where=and_(_UNFINISHED, Job.unique_key.is_not(None)), unique=True)
_partial("ix_job_notify", Job.finished_at, where=and_(Job.notify.is_(true()), Job.finished_at.is_not(None)))
_partial("ix_job_dead", Job.finished_at, where=_DEAD)
_partial("ix_job_parent_id", Job.parent_id, Job.part, where=Job.parent_id.is_not(None))
_partial("ix_job_bulk_id", Job.bulk_id, Job.part, where=Job.bulk_id.is_not(None))
Index("ix_job_created_at", Job.created_at)  # listing, newest first


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


class IdempotencyKey(Table):
    """What was submitted under a client's key; only digests are kept, as a key may say more than it should."""

    __tablename__ = "idempotency_key"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256 of client and key
    fingerprint: Mapped[str] = mapped_column(String(64))  # SHA-256 of what was asked
    subject_id: Mapped[UUID] = mapped_column(Uuid)  # the job, or the bulk
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


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
KEY = cast("CoreTable", IdempotencyKey.__table__)
MODEL_LOG = cast("CoreTable", ModelPredictionLog.__table__)
