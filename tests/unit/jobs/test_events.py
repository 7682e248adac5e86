from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import NotFound, Unavailable
from backend.extensions import db
from backend.jobs import finish
from backend.jobs.claim import claim
from backend.jobs.events import Attempt, Event, Position, Timeline, follow, read_timeline
from backend.jobs.execute import execute
from backend.jobs.news import Watch
from backend.jobs.states import FINAL, MOVES, AttemptOutcome, JobState
from backend.jobs.submit import cancel, submit
from tests.unit.conftest import LEASE, Number

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
NOW = START + timedelta(days=1)


class Life:
    """A job that lives through what a test says, as its rows show it."""

    def __init__(self) -> None:
        self.clock = START
        self.job = SimpleNamespace(id=uuid4(), state=JobState.QUEUED, attempt=0, progress=0.0, progress_note=None)
        self.job.error_code = self.job.cancel_requested_at = self.job.finished_at = None
        self.job.created_at = START
        self.attempts: list[Attempt] = []

    def tick(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock

    def begin(self) -> "Life":
        self.job.state, self.job.attempt = JobState.RUNNING, self.job.attempt + 1
        self.job.progress, self.job.progress_note = 0.0, None
        self.attempts.append(Attempt(self.job.attempt, self.tick()))
        return self

    def advance(self, progress: float, note: str | None = None) -> "Life":
        self.job.progress, self.job.progress_note = progress, note
        return self

    def ask_to_cancel(self) -> "Life":
        self.job.cancel_requested_at = self.tick()
        return self

    def leave(self, outcome: AttemptOutcome, state: JobState, code: str | None = None) -> "Life":
        """End the attempt, and the job too if the state is final."""
        now = self.tick()
        self.attempts[-1] = self.attempts[-1]._replace(finished_at=now, outcome=outcome, error_code=code)
        return self.move(state, code=code, now=now)

    def move(self, state: JobState, *, code: str | None = None, now: datetime | None = None) -> "Life":
        now = now or self.tick()
        self.job.state, self.job.error_code = state, code
        self.job.finished_at = now if state in FINAL else None
        return self

    def seen(self) -> Timeline:
        return Timeline(copy(self.job), list(self.attempts))


ENDS = {
    JobState.SUCCEEDED: AttemptOutcome.SUCCEEDED,
    JobState.FAILED: AttemptOutcome.FAILED,
    JobState.CANCELLED: AttemptOutcome.CANCELLED,
    JobState.EXPIRED: AttemptOutcome.EXPIRED,
    JobState.DEAD: AttemptOutcome.FAILED,
    JobState.WAITING: AttemptOutcome.SPLIT,
}
BACK = (AttemptOutcome.RETRIED, AttemptOutcome.RETURNED, AttemptOutcome.LOST)


@st.composite
def lives(draw: st.DrawFn) -> list[Timeline]:
    """What was seen of a job after each thing that happened to it; it may be unfinished."""
    life = Life()
    seen = [life.seen()]
    for _ in range(draw(st.integers(0, 14))):
        state = life.job.state
        if state in FINAL:
            break
        if state in {JobState.RUNNING, JobState.WAITING} and draw(st.booleans()):
            if draw(st.integers(0, 5)) == 0 and life.job.cancel_requested_at is None:
                life.ask_to_cancel()
            else:
                life.advance(draw(st.floats(0, 1)), draw(st.sampled_from([None, "a", "b"])))
        else:
            _move(life, draw(st.sampled_from(sorted(MOVES[state]))), draw)
        seen.append(life.seen())
    return seen


def _move(life: Life, to: JobState, draw: st.DrawFn) -> None:
    if to is JobState.RUNNING:
        life.begin()
    elif life.job.state is not JobState.RUNNING:
        life.move(to)
    elif to is JobState.QUEUED:
        life.leave(draw(st.sampled_from(BACK)), to)
    elif to in {JobState.DEAD, JobState.CANCELLED}:  # of a worker that disappeared, or not
        life.leave(draw(st.sampled_from([ENDS[to], AttemptOutcome.LOST])), to)
    else:
        life.leave(ENDS[to], to)


def told(timeline: Timeline) -> list[tuple[str, str]]:
    return [(str(event.position), event.job.state) for event in timeline.events(now=NOW)]


# What the events of a job are.


def test_a_new_job_is_queued():
    assert told(Life().seen()) == [("1", "queued")]


def test_a_job_that_succeeds_is_queued_runs_and_succeeds():
    life = Life().begin().leave(AttemptOutcome.SUCCEEDED, JobState.SUCCEEDED)
    assert told(life.seen()) == [("1", "queued"), ("2", "running"), ("3", "succeeded")]


def test_a_job_that_is_tried_again_is_queued_in_between():
    life = Life().begin().leave(AttemptOutcome.RETRIED, JobState.QUEUED, "unavailable").begin()
    queued, _, again, running = life.seen().moves()
    assert [event.job.state for event in (queued, again, running)] == ["queued", "queued", "running"]
    assert (again.job.outcome, again.job.error_code, again.job.attempt) == ("retried", "unavailable", 1)
    assert (str(running.position), running.job.attempt) == ("4", 2)


def test_a_job_that_waits_for_its_parts_says_so_and_how_far_they_are():
    life = Life().begin().leave(AttemptOutcome.SPLIT, JobState.WAITING).advance(0.25, "1 of 4 parts done")
    assert told(life.seen())[2:] == [("3", "waiting"), ("3.250", "waiting")]
    life.move(JobState.QUEUED).begin()
    assert told(life.seen())[2:] == [("3", "waiting"), ("4", "running")]


def test_a_job_whose_part_failed_ends_between_two_attempts():
    life = Life().begin().leave(AttemptOutcome.SPLIT, JobState.WAITING).move(JobState.FAILED, code="part_failed")
    *_, last = life.seen().moves()
    assert (str(last.position), last.job.state, last.job.error_code) == ("4", "failed", "part_failed")


def test_a_job_that_is_cancelled_before_it_ran_has_no_attempt():
    life = Life().ask_to_cancel().move(JobState.CANCELLED)
    assert told(life.seen()) == [("1", "queued"), ("2", "cancelled")]


def test_a_cancel_between_attempts_is_not_given_the_error_of_the_attempt_before():
    life = Life().begin().leave(AttemptOutcome.RETRIED, JobState.QUEUED, "unavailable")
    *_, last = life.move(JobState.CANCELLED, code="unavailable").seen().moves()
    assert (str(last.position), last.job.error_code) == ("4", None)


@pytest.mark.parametrize("state", [JobState.DEAD, JobState.CANCELLED])
def test_a_lost_worker_may_end_the_job(state):
    life = Life().begin().leave(AttemptOutcome.LOST, state, "worker_lost")
    assert told(life.seen()) == [("1", "queued"), ("2", "running"), ("3", state)]


def test_a_lost_worker_before_the_end_leaves_the_job_queued():
    life = Life().begin().leave(AttemptOutcome.LOST, JobState.QUEUED, "worker_lost").move(JobState.CANCELLED)
    assert told(life.seen()) == [("1", "queued"), ("2", "running"), ("3", "queued"), ("4", "cancelled")]


def test_progress_is_shown_from_the_first_that_is_known():
    life = Life().begin()
    assert told(life.seen())[-1] == ("2", "running")
    assert told(life.advance(0.0, "reading").seen())[-1] == ("2.0", "running")
    assert told(life.advance(0.3456, "reading").seen())[-1] == ("2.346", "running")


def test_a_cancel_that_was_asked_for_is_told_before_the_worker_agrees():
    *_, last = Life().begin().ask_to_cancel().seen().events(now=NOW)
    assert (last.is_progress, last.job.cancelling) == (True, True)


def test_no_event_has_a_result_a_worker_or_a_request():
    life = Life().begin().leave(AttemptOutcome.SUCCEEDED, JobState.SUCCEEDED)
    (fields,) = {frozenset(event.job.model_dump()) for event in life.seen().events(now=NOW)}
    assert fields == {"job_id", "state", "attempt", "progress", "note", "cancelling", "at", "outcome", "error_code"}


@given(lives())
def test_what_was_told_of_the_moves_stays_true(seen: list[Timeline]):
    for earlier, later in pairwise(seen):
        before, after = earlier.moves(), later.moves()
        assert [event.position for event in after[: len(before)]] == [event.position for event in before]
        assert [event.job for event in after[: len(before)]] == [event.job for event in before]


@given(lives())
def test_positions_rise_and_each_is_accepted_as_one_of_the_job(seen: list[Timeline]):
    for timeline in seen:
        positions = [event.position for event in timeline.events(now=NOW)]
        assert positions == sorted(set(positions))
        for position in positions:
            assert Position.parse(str(position)) == position
            assert seen[-1].had(position)


@given(lives())
def test_the_last_event_is_final_exactly_when_the_job_is(seen: list[Timeline]):
    for timeline in seen:
        states = [event.job.state in FINAL for event in timeline.events(now=NOW)]
        assert states == [False] * (len(states) - 1) + [timeline.over]


@given(lives(), st.integers(1, 40), st.integers(-1, 1000))
def test_the_job_has_not_had_an_event_of_another_number_nor_progress_where_it_stood(seen, number, permille):
    timeline = seen[-1]
    moves = {event.position.number: event.job.state for event in timeline.moves()}
    may = number in moves and (permille < 0 or moves[number] in {JobState.RUNNING, JobState.WAITING})
    assert timeline.had(Position(number, permille)) is may


# How they are named.


@given(st.integers(1, 9_999_999_999), st.integers(-1, 1000))
def test_what_names_an_event_is_read_back(number, permille):
    position = Position(number, permille)
    assert Position.parse(str(position)) == position


@given(st.text() | st.from_regex(r"\A-?[0-9]{0,12}[.,]?[0-9]{0,5}\s?\Z"))
def test_whatever_else_is_no_name_of_an_event(text):
    position = Position.parse(text)
    assert position is None or str(position) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1.",
        ".5",
        "1.-1",
        "1.05",
        "1.1001",
        "1,5",
        "1.5.5",
        "\uff11",
        "9" * 11,
        "x",
    ],
)
def test_this_is_no_name_of_an_event(text):
    assert Position.parse(text) is None


# Following them.


class Script:
    """What a follower sees of a job: some of the moments of its life, in order."""

    def __init__(self, seen: list[Timeline], skipped: set[int] = frozenset()) -> None:
        self.now, self.job_id = seen[0], seen[0].job.id
        self._left = [timeline for number, timeline in enumerate(seen[1:], 1) if number not in skipped]

    def next(self, _seconds: float):
        if not self._left:
            return None
        self.now = self._left.pop(0)
        return self.now.job

    def read(self) -> Timeline:
        return self.now

    def follow(self, after: Position | None = None, **limits: float) -> Iterator[Event | None]:
        return follow(self.now, self, after=after, read=self.read, **limits)  # type: ignore[arg-type]


def until_quiet(events: Iterator[Event | None]) -> list[Event]:
    return list(takewhile(lambda event: event is not None, events))


def moves(events: list[Event]) -> list[Event]:
    return [event for event in events if not event.is_progress]


@given(lives(), st.sets(st.integers(1, 14)))
def test_who_follows_hears_every_move_once_and_of_progress_that_never_goes_back(seen, skipped):
    script = Script(seen, skipped)
    heard = until_quiet(script.follow())
    assert moves(heard) == script.now.moves()
    positions = [event.position for event in heard]
    assert positions == sorted(positions)
    for before, after in pairwise(heard):
        assert before.position < after.position or after.corrects(before)


@given(lives(), st.sets(st.integers(1, 14)), st.data())
def test_who_comes_back_hears_exactly_the_rest(seen, skipped, data):
    heard = until_quiet(Script(seen, skipped).follow())
    cut = data.draw(st.integers(0, len(heard) - 1))
    again = Script([data.draw(st.sampled_from(seen)), seen[-1]])  # may look at any moment, and later at the end
    rest = until_quiet(again.follow(after=heard[cut].position))
    assert all(event.position > heard[cut].position for event in rest)
    assert moves(heard[: cut + 1]) + moves(rest) == seen[-1].moves()


def test_nothing_comes_after_the_end():
    life = Life().begin().leave(AttemptOutcome.SUCCEEDED, JobState.SUCCEEDED)
    assert list(Script([life.seen()]).follow(after=Position(3))) == []


def test_another_note_or_a_cancel_is_told_at_the_same_progress():
    life = Life().begin().advance(0.5, "first half")
    script = [life.seen(), life.advance(0.5, "second half").seen(), life.seen(), life.ask_to_cancel().seen()]
    told = [(event.job.note, event.job.cancelling) for event in until_quiet(Script(script).follow())]
    assert told[2:] == [("first half", False), ("second half", False), ("second half", True)]


def test_moves_are_read_again_and_progress_is_not():
    life = Life()
    reads = []
    script = Script([life.seen(), life.begin().seen(), life.advance(0.1).seen(), life.advance(0.2).seen()])

    def read():
        reads.append(script.now)
        return script.now

    until_quiet(follow(script.now, script, after=None, read=read))
    assert len(reads) == 1


def test_silence_is_filled_with_heartbeats_until_the_time_is_over():
    watch, timeline = Watch(uuid4()), Life().seen()
    queued, *beats = follow(timeline, watch, after=None, read=lambda: timeline, heartbeat=0.02, longest=0.1)
    assert queued.job.state is JobState.QUEUED
    assert 3 <= len(beats) <= 6
    assert set(beats) == {None}


def test_a_stream_ends_where_the_database_goes_away():
    life = Life()
    script = Script([life.seen(), life.begin().seen()])

    def read():
        raise Unavailable("the database does not answer")

    assert len(list(follow(script.now, script, after=None, read=read))) == 1


# What is read for it.


def test_the_timeline_of_an_unknown_job_is_not_found(app):
    with pytest.raises(NotFound):
        read_timeline(uuid4())


def test_a_timeline_is_read_from_the_rows_of_job_and_attempts(kind, worker, doorbell):
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    assert told(read_timeline(job.id)) == [("1", "queued"), ("2", "running")]
    finish.retry(held, code="unavailable", message="later")
    cancel(job.id)
    timeline = read_timeline(job.id)
    assert told(timeline)[2:] == [("3", "queued"), ("4", "cancelled")]
    assert timeline.moves()[2].job.error_code == "unavailable"


def test_the_end_of_an_attempt_that_ends_the_job_is_one_event(kind, worker, doorbell):
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    assert told(read_timeline(job.id)) == [("1", "queued"), ("2", "running"), ("3", "succeeded")]


def test_no_transaction_is_open_while_an_event_is_sent(kind, doorbell):
    job = submit(kind, Number())
    claim(kind, job.id, worker="w1", lease=LEASE)
    script = Script([Life().seen(), Life().begin().seen()])
    for _ in until_quiet(follow(script.now, script, after=None, read=lambda: read_timeline(job.id))):
        assert db.engine.pool.checkedout() == 0
