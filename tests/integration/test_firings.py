"""Many beats at the same moment, on real databases: each fire time starts one job."""

import threading
from datetime import UTC, datetime, timedelta

from flask import Flask
from pydantic import BaseModel

from backend.errors import Conflict
from backend.jobs.kinds import JobKind
from backend.jobs.schedules.book import ScheduleBook
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.fire import fire_due, run_now
from backend.jobs.schedules.views import list_schedules
from backend.jobs.views import list_jobs

BEATS = 6
START = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


class Nothing(BaseModel):
    pass


KIND = JobKind(
    name="test.nothing",
    path="/nothing",
    summary="Nothing",
    request=Nothing,
    result=Nothing,
    run=lambda _request, _context: Nothing(),
    timeout=5,
)
SCHEDULES = tuple(Schedule(name=f"hourly_{n}", kind=KIND.name, cron="0 * * * *") for n in range(5))


def together(app: Flask, act) -> None:
    """Each beat has its own thread and its own book, as if it were a process, and starts when all are there."""
    barrier = threading.Barrier(BEATS)

    def run() -> None:
        book = ScheduleBook(SCHEDULES, [KIND], timezone="Asia/Kolkata")
        with app.app_context():
            barrier.wait()
            act(book)

    threads = [threading.Thread(target=run) for _ in range(BEATS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def jobs() -> int:
    return len(list_jobs(state=None, kind=None, before=None, limit=500).jobs)


def test_beats_that_start_together_enter_each_schedule_once_and_fire_each_time_once(app: Flask):
    seen = []
    together(app, lambda book: seen.append(len(list_schedules(book, now=START).schedules)))
    assert seen == [len(SCHEDULES)] * BEATS
    fired = []
    together(app, lambda book: fired.extend(fire_due(book, now=START + timedelta(hours=1))))
    assert sorted(one.schedule for one in fired) == [schedule.name for schedule in SCHEDULES]
    assert {one.fire_at for one in fired} == {START + timedelta(hours=1)}
    assert jobs() == len(SCHEDULES)


def test_of_several_who_run_it_now_one_does(app: Flask):
    refused = []

    def run(book: ScheduleBook) -> None:
        try:
            run_now(book, "hourly_0", now=datetime.now(UTC))
        except Conflict as error:
            refused.append(error)

    together(app, run)
    assert (jobs(), len(refused)) == (1, BEATS - 1)
