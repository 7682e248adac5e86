from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pytest
from flask import Flask
from sqlalchemy import select, update

from backend.extensions import transaction
from backend.jobs.kinds import JobKind
from backend.jobs.schedules.book import ScheduleBook
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.tables import JobSchedule, ScheduleFiring
from backend.jobs.states import JobState
from backend.jobs.tables import Job
from backend.jobs.views import list_jobs


@dataclass
class Schedules:
    """One installation's schedules, and what the database says of them."""

    kind: JobKind
    timezone: str = "Europe/London"

    def book(self, *schedules: Schedule, timezone: str | None = None) -> ScheduleBook:
        """The schedules as one process knows them."""
        return ScheduleBook(schedules, [self.kind], timezone=timezone or self.timezone)

    def row(self, name: str = "nightly") -> JobSchedule:
        with transaction(read_only=True) as session:
            return session.get_one(JobSchedule, name)

    def firings(self) -> list[tuple[datetime, str]]:
        with transaction(read_only=True) as session:
            rows = session.scalars(select(ScheduleFiring).order_by(ScheduleFiring.fire_at))
            return [(row.fire_at, row.outcome) for row in rows]

    def jobs(self) -> int:
        return len(list_jobs(state=None, kind=None, before=None, limit=500).jobs)

    def finish_jobs(self) -> None:
        with transaction() as session:
            session.execute(update(Job).values(state=JobState.SUCCEEDED))


@pytest.fixture
def schedules(app: Flask, kind: JobKind) -> Schedules:
    return Schedules(kind)


@pytest.fixture
def nightly(kind: JobKind) -> Callable[..., Schedule]:
    def declare(**changes) -> Schedule:
        given = {"name": "nightly", "kind": kind.name, "cron": "30 1 * * *", "request": {"value": 4}}
        return Schedule(**(given | changes))

    return declare
