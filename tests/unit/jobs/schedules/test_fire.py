"""What a fire time comes to, with a clock in the test's hand."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select, update

from backend.errors import Conflict, FieldError, NotFound, Unavailable, ValidationFailed
from backend.extensions import Table, db, transaction
from backend.jobs.execute import execute
from backend.jobs.schedules import fire
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.fire import fire_due, run_now
from backend.jobs.schedules.tables import FiringOutcome, JobSchedule, ScheduleFiring
from backend.jobs.schedules.views import SchedulePatch, change_schedule, get_schedule, list_firings, list_schedules
from backend.jobs.states import JobState
from backend.jobs.tables import Job

BEFORE = datetime(2026, 6, 1, 12, tzinfo=UTC)
NIGHT = datetime(2026, 6, 2, 0, 30, tzinfo=UTC)  # 01:30 in London
DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def book(schedules, nightly):
    book = schedules.book(nightly())
    fire_due(book, now=BEFORE)
    return book


def outcomes(fired):
    return [(one.fire_at, one.outcome.value) for one in fired]


def test_nothing_fires_before_its_time(book, schedules):
    assert fire_due(book, now=NIGHT - SECOND) == []
    assert schedules.jobs() == 0


def test_a_due_schedule_starts_its_job_once_and_rings(book, schedules, doorbell, kind, worker):
    assert outcomes(fire_due(book, now=NIGHT)) == [(NIGHT, "started")]
    assert fire_due(book, now=NIGHT) == []
    (ring,) = doorbell.rings
    assert ring[:2] == ("test.double", "interactive")
    execute(kind, ring[2], worker)
    found = get_schedule(book, "nightly", now=NIGHT)
    assert (found.last_at, found.last_outcome, found.next_at) == (NIGHT, FiringOutcome.STARTED, NIGHT + DAY)
    assert (found.last_job.id, found.last_job.state) == (ring[2], JobState.SUCCEEDED)
    assert schedules.firings() == [(NIGHT, "started")]


def test_a_second_beat_finds_nothing_left(book, schedules, nightly):
    other = schedules.book(nightly())
    assert len(fire_due(book, now=NIGHT)) == 1
    assert fire_due(other, now=NIGHT) == []
    assert schedules.jobs() == 1


def test_a_beat_that_was_overtaken_between_looking_and_firing_starts_nothing(book, schedules):
    planned = book.planned["nightly"]
    assert fire._fire(planned, NIGHT) is not None
    assert fire._fire(planned, NIGHT) is None
    assert schedules.jobs() == 1


def test_a_clock_that_was_set_back_does_not_repeat_a_fire_time(book, schedules):
    fire_due(book, now=NIGHT)
    schedules.finish_jobs()
    with transaction() as session:
        session.execute(update(JobSchedule).values(next_at=NIGHT))
    assert fire_due(book, now=NIGHT) == []
    assert (schedules.jobs(), schedules.row().next_at) == (1, NIGHT + DAY)


def test_of_several_missed_times_only_the_latest_is_caught_up(book, schedules):
    late = NIGHT + 3 * DAY + timedelta(hours=5)
    assert outcomes(fire_due(book, now=late)) == [(NIGHT + 3 * DAY, "started")]
    assert schedules.jobs() == 1
    assert schedules.row().next_at == NIGHT + 4 * DAY


def test_later_than_the_catch_up_window_it_is_recorded_as_missed(book, schedules):
    late = NIGHT + 3 * DAY + timedelta(hours=6) + SECOND
    assert outcomes(fire_due(book, now=late)) == [(NIGHT + 3 * DAY, "missed")]
    assert schedules.jobs() == 0
    assert schedules.row().next_at == NIGHT + 4 * DAY


def test_without_a_catch_up_window_a_minute_late_is_still_on_time(book):
    change_schedule(book, "nightly", SchedulePatch(catch_up_seconds=0), now=BEFORE)
    assert outcomes(fire_due(book, now=NIGHT + MINUTE)) == [(NIGHT, "started")]
    assert outcomes(fire_due(book, now=NIGHT + DAY + MINUTE + SECOND)) == [(NIGHT + DAY, "missed")]


def test_while_the_job_before_is_unfinished_a_fire_time_is_skipped(book, schedules):
    fire_due(book, now=NIGHT)
    assert outcomes(fire_due(book, now=NIGHT + DAY)) == [(NIGHT + DAY, "skipped_overlap")]
    schedules.finish_jobs()
    assert outcomes(fire_due(book, now=NIGHT + 2 * DAY)) == [(NIGHT + 2 * DAY, "started")]
    notes = [one.note for one in list_firings(book, "nightly", before=None, limit=9, now=NIGHT).firings]
    assert [note is not None and "is not finished" in note for note in notes] == [False, True, False]


def test_a_paused_schedule_does_not_fire_and_catches_nothing_up_when_resumed(book, schedules):
    assert change_schedule(book, "nightly", SchedulePatch(paused=True), now=BEFORE).next_at is None
    assert fire_due(book, now=NIGHT + MINUTE) == []
    resumed = change_schedule(book, "nightly", SchedulePatch(paused=False), now=NIGHT + 2 * MINUTE)
    assert resumed.next_at == NIGHT + DAY
    assert fire_due(book, now=NIGHT + 3 * MINUTE) == []
    assert schedules.jobs() == 0


@pytest.mark.parametrize(
    ("day", "fires_at"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),  # 01:30 does not exist
        (datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # 01:30 comes twice
    ],
)
def test_each_night_has_one_run_also_when_the_clock_changes(schedules, nightly, day, fires_at):
    book = schedules.book(nightly())
    started = []
    for quarter in range(96 * 2):
        schedules.finish_jobs()
        started += [one.fire_at for one in fire_due(book, now=day + quarter * 15 * MINUTE)]
    assert started == [fires_at, fires_at.replace(hour=1 if fires_at.month == 10 else 0, minute=30) + DAY]


def test_a_request_that_its_kind_refuses_is_recorded(schedules, nightly, kind):
    def refuse(_request) -> None:
        raise ValidationFailed((FieldError("value", "too odd"),))

    object.__setattr__(kind, "checks", (refuse,))
    book = schedules.book(nightly())
    fire_due(book, now=BEFORE)
    assert outcomes(fire_due(book, now=NIGHT)) == [(NIGHT, "refused")]
    assert list_firings(book, "nightly", before=None, limit=9, now=NIGHT).firings[0].note == "value: too odd"
    assert schedules.jobs() == 0


@pytest.mark.parametrize("error", [Unavailable("a service is away"), KeyError("a fault of ours")])
def test_a_schedule_that_cannot_be_fired_now_waits_and_does_not_keep_the_others_back(schedules, nightly, kind, error):
    calls = []

    def fail_first(_request) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise error

    object.__setattr__(kind, "checks", (fail_first,))
    book = schedules.book(nightly(), nightly(name="second"))
    fire_due(book, now=BEFORE)
    first = {one.schedule for one in fire_due(book, now=NIGHT)}
    assert len(first) == 1
    assert {one.schedule for one in fire_due(book, now=NIGHT + SECOND)} == {"nightly", "second"} - first


def test_a_check_that_goes_on_failing_is_given_up_when_the_catch_up_window_is_over(schedules, nightly, kind):
    def fail(_request) -> None:
        raise KeyError("a fault of ours")

    object.__setattr__(kind, "checks", (fail,))
    book = schedules.book(nightly(catch_up=timedelta(hours=2)))
    fire_due(book, now=BEFORE)
    assert fire_due(book, now=NIGHT + timedelta(hours=2)) == [], "it is tried again"
    assert outcomes(fire_due(book, now=NIGHT + timedelta(hours=2) + SECOND)) == [(NIGHT, "missed")]
    assert schedules.row().next_at == NIGHT + DAY


def test_when_the_database_is_away_it_says_so(book):
    Table.metadata.drop_all(db.engine)
    with pytest.raises(Unavailable):
        fire_due(book, now=NIGHT)


def test_run_now_starts_a_job_beside_the_clock(book, schedules, doorbell):
    job = run_now(book, "nightly", now=BEFORE + MINUTE)
    assert [ring[2] for ring in doorbell.rings] == [job.id]
    assert schedules.firings() == [(BEFORE + MINUTE, "manual")]
    assert schedules.row().next_at == NIGHT
    with pytest.raises(Conflict, match=f"job {job.id} of schedule nightly is not finished"):
        run_now(book, "nightly", now=BEFORE + 2 * MINUTE)
    assert outcomes(fire_due(book, now=NIGHT)) == [(NIGHT, "skipped_overlap")]


def test_run_now_works_while_paused_and_not_for_what_is_unknown_or_undeclared(book, schedules, nightly):
    change_schedule(book, "nightly", SchedulePatch(paused=True), now=BEFORE)
    assert run_now(book, "nightly", now=BEFORE).state is JobState.QUEUED
    with pytest.raises(NotFound):
        run_now(book, "weekly", now=BEFORE)
    with pytest.raises(Conflict, match="not declared"):
        run_now(schedules.book(), "nightly", now=BEFORE)


class Beats(RuleBasedStateMachine):
    """Two beats with clocks a little apart, jobs that end at some time, and an operator."""

    fixtures: dict

    @initialize()
    def start(self):
        with transaction() as session:
            for table in (ScheduleFiring, JobSchedule, Job):
                session.query(table).delete()
        schedule = Schedule(name="often", kind="test.double", cron="*/10 * * * *", catch_up=20 * MINUTE)
        self.books = [self.fixtures["schedules"].book(schedule) for _ in range(2)]
        self.now = BEFORE
        for book in self.books:
            list_schedules(book, now=self.now)

    @rule(minutes=st.integers(min_value=0, max_value=45))
    def time_passes(self, minutes):
        self.now += minutes * MINUTE

    @rule(beat=st.sampled_from([0, 1]), ahead=st.integers(min_value=-30, max_value=30))
    def tick(self, beat, ahead):
        now = self.now + ahead * SECOND
        for one in fire_due(self.books[beat], now=now):
            assert one.fire_at <= now
            assert one.fire_at.minute % 10 == 0
            assert (one.outcome is FiringOutcome.MISSED) == (now - one.fire_at > 20 * MINUTE)

    @rule()
    def jobs_end(self):
        self.fixtures["schedules"].finish_jobs()

    @rule(paused=st.booleans())
    def an_operator_pauses_or_resumes(self, paused):
        change_schedule(self.books[0], "often", SchedulePatch(paused=paused), now=self.now)

    @precondition(lambda self: hasattr(self, "books"))
    @invariant()
    def each_job_belongs_to_one_fire_time_and_two_never_overlap(self):
        with transaction(read_only=True) as session:
            started = list(session.scalars(select(ScheduleFiring).where(ScheduleFiring.job_id.is_not(None))))
            jobs = list(session.scalars(select(Job)))
        assert len({one.fire_at for one in started}) == len(started) == len(jobs)
        assert sum(job.state == JobState.QUEUED for job in jobs) <= 1


def test_however_two_beats_interleave_each_fire_time_starts_one_job(schedules, app):
    class Machine(Beats):
        fixtures = {"schedules": schedules}  # noqa: RUF012 - of this test's class alone

    Machine.TestCase.settings = settings(
        max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine = Machine.TestCase()
    machine.runTest()
