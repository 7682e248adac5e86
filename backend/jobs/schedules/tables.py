"""The schedules and what came of each of their fire times, as rows: what beat reads and operators change."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import BigId, Table, UtcDateTime


class FiringOutcome(StrEnum):
    """What came of one fire time."""

    STARTED = "started"  # on time, or late within the catch-up window
    MANUAL = "manual"  # by an operator, "run now"
    MISSED = "missed"  # noticed later than the catch-up window allows
    SKIPPED_OVERLAP = "skipped_overlap"  # the job before was not finished
    REFUSED = "refused"  # a check of the job kind refused the request


class JobSchedule(Table):
    """One schedule. `changed` names the columns that an operator set; the others follow the code's declaration."""

    __tablename__ = "schedule"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    cron: Mapped[str] = mapped_column(String(100))
    timezone: Mapped[str] = mapped_column(String(64))
    catch_up_seconds: Mapped[int] = mapped_column(Integer)
    changed: Mapped[list[str]] = mapped_column(JSON, default=list)
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # NULL: paused, or no moment to come
    last_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of the latest firing
    last_outcome: Mapped[str | None] = mapped_column(String(16))
    last_job_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("job.id", ondelete="SET NULL"))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ScheduleFiring(Table):
    """What came of one fire time; unique, so that however many beats run, each starts one job."""

    __tablename__ = "schedule_firing"
    __table_args__ = (UniqueConstraint("schedule", "fire_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    schedule: Mapped[str] = mapped_column(ForeignKey("schedule.name", ondelete="CASCADE"))
    fire_at: Mapped[datetime] = mapped_column(UtcDateTime)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    outcome: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("job.id", ondelete="SET NULL"), index=True)
    note: Mapped[str | None] = mapped_column(String(200))
