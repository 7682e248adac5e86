"""Schedules as clients see and change them, and the history of their firings."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import select

from backend.errors import NotFound
from backend.extensions import transaction
from backend.jobs.schedules.book import ScheduleBook, plan
from backend.jobs.schedules.cron import check_cron
from backend.jobs.schedules.tables import FiringOutcome, JobSchedule, ScheduleFiring
from backend.jobs.states import JobState
from backend.jobs.tables import Job
from backend.settings import check_timezone

LONGEST_CATCH_UP = 7 * 24 * 3600  # seconds


class ScheduledJob(BaseModel):
    """The last job of a schedule."""

    id: UUID
    state: JobState
    finished_at: datetime | None


class ScheduleView(BaseModel):
    """A schedule."""

    model_config = ConfigDict(title="Schedule")

    name: str
    kind: str
    request: dict[str, Any]
    cron: str
    timezone: str = Field(description="The zone whose clock `cron` reads.")
    catch_up_seconds: int = Field(description="How late a missed run may still start.")
    paused: bool
    declared: bool = Field(description="False: this version of the software does not have it, so it does not run.")
    changed: list[str] = Field(description="What an operator set; the rest is as declared.")
    next_at: datetime | None
    last_at: datetime | None = Field(description="When it last fired, whatever came of it.")
    last_outcome: FiringOutcome | None
    last_job: ScheduledJob | None


class ScheduleList(BaseModel):
    """Every schedule, by name."""

    schedules: list[ScheduleView]


class SchedulePatch(BaseModel):
    """What to change; null puts `cron`, `timezone` or `catch_up_seconds` back to what is declared."""

    model_config = ConfigDict(extra="forbid")

    cron: Annotated[str, AfterValidator(check_cron)] | None = Field(default=None, examples=["30 0 * * *"])
    timezone: Annotated[str, AfterValidator(check_timezone)] | None = Field(default=None, examples=["Europe/London"])
    catch_up_seconds: int | None = Field(default=None, ge=0, le=LONGEST_CATCH_UP)
    paused: bool = False

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one of cron, timezone, catch_up_seconds, paused")
        return self


class FiringView(BaseModel):
    """What came of one fire time."""

    model_config = ConfigDict(title="Firing")

    fire_at: datetime
    at: datetime = Field(description="When it was noticed.")
    outcome: FiringOutcome
    job_id: UUID | None
    note: str | None


class FiringPage(BaseModel):
    """Firings of one schedule, newest first."""

    firings: list[FiringView]
    next_before: datetime | None = Field(description="Pass as `before` to get the next page; null on the last one.")


_WITH_JOB = select(JobSchedule, Job.state, Job.finished_at).outerjoin(Job, Job.id == JobSchedule.last_job_id)


def list_schedules(book: ScheduleBook, *, now: datetime) -> ScheduleList:
    """Return every schedule, also those that the code does not declare any more."""
    book.enter(now)
    with transaction(read_only=True) as session:
        rows = session.execute(_WITH_JOB.order_by(JobSchedule.name)).all()
    return ScheduleList(schedules=[_view(book, *row) for row in rows])


def get_schedule(book: ScheduleBook, name: str, *, now: datetime) -> ScheduleView:
    """Return one schedule.

    Raises:
        NotFound: there is no such schedule.
    """
    book.enter(now)
    with transaction(read_only=True) as session:
        row = session.execute(_WITH_JOB.where(JobSchedule.name == name)).one_or_none()
    if row is None:
        raise NotFound("schedule", name)
    return _view(book, *row)


def change_schedule(book: ScheduleBook, name: str, patch: SchedulePatch, *, now: datetime) -> ScheduleView:
    """Change a schedule; one that is resumed, or whose clock changes, counts from `now` and catches nothing up.

    Raises:
        NotFound: there is no such schedule.
    """
    book.enter(now)
    with transaction() as session:
        row = session.get(JobSchedule, name, with_for_update=True)
        if row is None:
            raise NotFound("schedule", name)
        before = (row.cron, row.timezone, row.paused)
        planned = book.planned.get(name)
        declared = book.declared(planned.schedule) if planned else {}
        changed = set(row.changed)
        for field in patch.model_fields_set:
            value = getattr(patch, field)
            setattr(row, field, declared.get(field, getattr(row, field)) if value is None else value)
            if field != "paused":
                changed = changed - {field} if value is None else changed | {field}
        row.changed, row.updated_at = sorted(changed), now
        if before != (row.cron, row.timezone, row.paused):
            plan(row, now)
    return get_schedule(book, name, now=now)


def list_firings(book: ScheduleBook, name: str, *, before: datetime | None, limit: int, now: datetime) -> FiringPage:
    """Return the firings of one schedule, newest first.

    Raises:
        NotFound: there is no such schedule.
    """
    get_schedule(book, name, now=now)
    query = select(ScheduleFiring).where(ScheduleFiring.schedule == name)
    if before is not None:
        query = query.where(ScheduleFiring.fire_at < before)
    with transaction(read_only=True) as session:
        rows = list(session.scalars(query.order_by(ScheduleFiring.fire_at.desc()).limit(limit + 1)))
    page = [FiringView.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return FiringPage(firings=page, next_before=page[-1].fire_at if len(rows) > limit else None)


def _view(book: ScheduleBook, row: JobSchedule, state: str, finished_at: datetime | None) -> ScheduleView:
    declared = row.name in book.planned
    return ScheduleView(
        name=row.name,
        kind=row.kind,
        request=row.request,
        cron=row.cron,
        timezone=row.timezone,
        catch_up_seconds=row.catch_up_seconds,
        paused=row.paused,
        declared=declared,
        changed=row.changed,
        next_at=row.next_at if declared else None,
        last_at=row.last_at,
        last_outcome=None if row.last_outcome is None else FiringOutcome(row.last_outcome),
        last_job=_job(row.last_job_id, state, finished_at),
    )


def _job(job_id: UUID | None, state: str, finished_at: datetime | None) -> ScheduledJob | None:
    return None if job_id is None else ScheduledJob(id=job_id, state=JobState(state), finished_at=finished_at)
