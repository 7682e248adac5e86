"""The schedules that the code declares, with their job kinds, and how their rows follow the declarations."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.extensions import current, transaction
from backend.jobs.kinds import JobKind
from backend.jobs.schedules.cron import next_fire
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.tables import JobSchedule

log = structlog.get_logger()

_ALL_LOCKED = select(JobSchedule).order_by(JobSchedule.name).with_for_update()


@dataclass(frozen=True, slots=True)
class Planned:
    """A declared schedule with what it starts."""

    schedule: Schedule
    kind: JobKind
    request: BaseModel


class ScheduleBook:
    """Every declared schedule of this installation.

    Raises:
        ValueError: one names a job kind that does not exist or a request that its kind refuses, or two share a name.
    """

    def __init__(self, schedules: Iterable[Schedule], kinds: Iterable[JobKind], *, timezone: str) -> None:
        by_name = {kind.name: kind for kind in kinds}
        self.planned: dict[str, Planned] = {}
        self.timezone = timezone
        self._entered = False
        for schedule in schedules:
            if schedule.name in self.planned:
                raise ValueError(f"two schedules share the name {schedule.name}")
            if schedule.kind not in by_name:
                known = ", ".join(sorted(by_name)) or "none"
                raise ValueError(f"schedule {schedule.name}: no job kind {schedule.kind}; there are: {known}")
            kind = by_name[schedule.kind]
            self.planned[schedule.name] = Planned(schedule, kind, _request(schedule, kind))

    def declared(self, schedule: Schedule) -> dict[str, object]:
        """Return the columns that operators may change, as the code and the settings declare them."""
        return {
            "cron": schedule.cron,
            "timezone": self.timezone,
            "catch_up_seconds": int(schedule.catch_up.total_seconds()),
        }

    def enter(self, now: datetime) -> None:
        """Once per process: enter the schedules that have no row, and let rows follow their declaration.

        What an operator changed stays. A row that is not declared any more stays too, and is not fired.

        Raises:
            Unavailable: the database does not answer; the next call tries again.
        """
        if self._entered:
            return
        with transaction() as session:
            rows = {row.name: row for row in session.scalars(_ALL_LOCKED)}
            for name, planned in self.planned.items():
                row = rows.get(name)
                if row is None:
                    self._insert(session, planned, now)
                else:
                    self._follow(row, planned, now)
        self._entered = True

    def _insert(self, session: Session, planned: Planned, now: datetime) -> None:
        schedule = planned.schedule
        row = JobSchedule(
            name=schedule.name,
            kind=schedule.kind,
            request=dict(schedule.request),
            next_at=next_fire(schedule.cron, self.timezone, after=now),
            updated_at=now,
            **self.declared(schedule),
        )
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            log.info("schedule_entered_by_another", schedule=schedule.name)

    def _follow(self, row: JobSchedule, planned: Planned, now: datetime) -> None:
        row.kind, row.request = planned.schedule.kind, dict(planned.schedule.request)
        before = (row.cron, row.timezone)
        for column, value in self.declared(planned.schedule).items():
            if column not in row.changed:
                setattr(row, column, value)
        if before != (row.cron, row.timezone):
            plan(row, now)


def plan(row: JobSchedule, now: datetime) -> None:
    """Set the next fire time of a row after its clock changed or it was resumed: nothing before `now` counts."""
    row.next_at = None if row.paused else next_fire(row.cron, row.timezone, after=now)
    row.updated_at = now


def current_book() -> ScheduleBook:
    """Return the schedules of the current application."""
    return cast("ScheduleBook", current("schedules"))


def _request(schedule: Schedule, kind: JobKind) -> BaseModel:
    try:
        return kind.request.model_validate(dict(schedule.request))
    except ValidationError as error:
        raise ValueError(f"schedule {schedule.name}: {kind.name} refuses its request: {error}") from None
