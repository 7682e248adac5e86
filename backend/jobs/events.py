"""The events of a job, for those who follow it: its moves from state to state, and its progress in between.

They are derived from the rows of the job and its attempts, so whoever was away is told what was missed. A job is queued
(event 1), its attempt n begins (2n) and ends (2n + 1); an end between two attempts has the number of the next one's
begin. Progress belongs to the move before it: 4.350 is 35 % in the second attempt.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import structlog
from pydantic import BaseModel, Field
from sqlalchemy import Row, bindparam, select

from backend.clock import utc_now
from backend.errors import NotFound, Unavailable
from backend.extensions import transaction
from backend.jobs.news import Watch
from backend.jobs.states import FINAL, AttemptOutcome, JobState
from backend.jobs.tables import ATTEMPT, JOB

log = structlog.get_logger()

HEARTBEAT = 15.0  # seconds; only by sending is it noticed that a client has left
LONGEST = 600.0  # seconds; how long one stream lasts at most: the client comes back and goes on

_JOB_COLUMNS = ("id", "state", "attempt", "progress", "progress_note", "error_code")
_JOB_MOMENTS = ("created_at", "cancel_requested_at", "finished_at")
_ATTEMPT_COLUMNS = ("number", "started_at", "finished_at", "outcome", "error_code")
# One statement: the job and its attempts are of the same moment.
_ROWS = (
    select(
        *(JOB.c[name] for name in _JOB_COLUMNS + _JOB_MOMENTS),
        *(ATTEMPT.c[name].label(f"attempt_{name}") for name in _ATTEMPT_COLUMNS),
    )
    .select_from(JOB.outerjoin(ATTEMPT))
    .where(JOB.c.id == bindparam("job"))
    .order_by(ATTEMPT.c.number)
)


class Position(NamedTuple):
    """Where an event is among those of its job; positions are ordered as the events are."""

    number: int
    permille: int = -1  # of progress; -1 for a move

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the position that `str` wrote, None for any other text."""
        found = re.fullmatch(r"([1-9][0-9]{0,9})(?:\.(0|[1-9][0-9]{0,2}|1000))?", text)
        return cls(int(found[1]), -1 if found[2] is None else int(found[2])) if found else None

    def __str__(self) -> str:
        return str(self.number) if self.permille < 0 else f"{self.number}.{self.permille}"


class JobEvent(BaseModel):
    """A move of a job to another state, or progress within one; never its result."""

    job_id: UUID
    state: JobState
    attempt: int = Field(description="Attempts begun by then.")
    progress: float | None = Field(ge=0.0, le=1.0, description="Null where a move does not say it.")
    note: str | None = None
    cancelling: bool = Field(description="A cancel was asked for and the worker had not agreed yet.")
    at: datetime
    outcome: AttemptOutcome | None = Field(default=None, description="Of the attempt that ended with this move.")
    error_code: str | None = None


class Event(NamedTuple):
    """An event and where it is."""

    position: Position
    job: JobEvent

    @property
    def is_progress(self) -> bool:
        """Whether it is progress and no move."""
        return self.position.permille >= 0

    def corrects(self, last: Self) -> bool:
        """Whether it is the same progress with another note, or with a cancel."""
        return self.position == last.position and (self.job.note, self.job.cancelling) != (
            last.job.note,
            last.job.cancelling,
        )


class Attempt(NamedTuple):
    """What is told of one attempt."""

    number: int
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A job and its attempts, as they were at one moment."""

    job: Row[Any]
    attempts: Sequence[Attempt]

    @property
    def over(self) -> bool:
        """Whether nothing will happen to the job any more."""
        return self.job.state in FINAL

    def is_as_of(self, row: Row[Any]) -> bool:
        """Whether this row of the job is of the same state and attempt."""
        return (row.state, row.attempt) == (self.job.state, self.job.attempt)

    def moves(self) -> list[Event]:
        """Return the moves from state to state, in order."""
        job = self.job
        moves = [self._move(1, JobState.QUEUED, 0, job.created_at)]
        for one in self.attempts:
            moves.append(self._move(2 * one.number, JobState.RUNNING, one.number, one.started_at))
            if one.outcome is not None and one.finished_at is not None:
                moves.append(self._end_of(one, AttemptOutcome(one.outcome), at=one.finished_at))
        if self.over and moves[-1].job.state not in FINAL:
            number, state = 2 * job.attempt + 2, JobState(job.state)
            code = None if state is JobState.CANCELLED else job.error_code  # which is that of an earlier attempt
            moves.append(self._move(number, state, job.attempt, job.finished_at, error_code=code))
        return moves

    def events(self, *, now: datetime) -> list[Event]:
        """Return the moves and, `now`, the progress since the last of them."""
        moves = self.moves()
        job, last = self.job, moves[-1]
        shown = job.progress > 0.0 or job.progress_note is not None or job.cancel_requested_at is not None
        if job.state not in {JobState.RUNNING, JobState.WAITING} or not shown:
            return moves
        progress = JobEvent(
            job_id=job.id,
            state=JobState(job.state),
            attempt=job.attempt,
            progress=job.progress,
            note=job.progress_note,
            cancelling=job.cancel_requested_at is not None,
            at=now,
        )
        return [*moves, Event(Position(last.position.number, round(job.progress * 1000)), progress)]

    def had(self, position: Position) -> bool:
        """Whether the job can have had this event."""
        state = {move.position.number: move.job.state for move in self.moves()}.get(position.number)
        return state is not None and (position.permille < 0 or state in {JobState.RUNNING, JobState.WAITING})

    def _end_of(self, one: Attempt, outcome: AttemptOutcome, *, at: datetime) -> Event:
        match outcome:
            case AttemptOutcome.SPLIT:
                state = JobState.WAITING
            case AttemptOutcome.RETRIED | AttemptOutcome.RETURNED:
                state = JobState.QUEUED
            case AttemptOutcome.LOST if at != self.job.finished_at:
                state = JobState.QUEUED
            case _:
                state = JobState(self.job.state)  # the job ended with it
        number = 2 * one.number + 1
        return self._move(number, state, one.number, at, outcome=outcome, error_code=one.error_code)

    def _move(
        self,
        number: int,
        state: JobState,
        attempt: int,
        at: datetime,
        *,
        outcome: AttemptOutcome | None = None,
        error_code: str | None = None,
    ) -> Event:
        asked = self.job.cancel_requested_at
        event = JobEvent(
            job_id=self.job.id,
            state=state,
            attempt=attempt,
            progress={JobState.RUNNING: 0.0, JobState.SUCCEEDED: 1.0}.get(state),
            cancelling=asked is not None and asked <= at and state not in FINAL,
            at=at,
            outcome=outcome,
            error_code=error_code,
        )
        return Event(Position(number), event)


def read_timeline(job_id: UUID) -> Timeline:
    """Return a job and its attempts.

    Raises:
        NotFound: there is no such job.
    """
    with transaction(read_only=True) as session:
        rows = session.execute(_ROWS, {"job": job_id}).all()
    if not rows:
        raise NotFound("job", job_id)
    cut = len(_JOB_COLUMNS + _JOB_MOMENTS)
    return Timeline(rows[0], [Attempt(*row[cut:]) for row in rows if row.attempt_number is not None])


def follow(
    timeline: Timeline,
    watch: Watch,
    *,
    after: Position | None,
    read: Callable[[], Timeline],
    heartbeat: float = HEARTBEAT,
    longest: float = LONGEST,
) -> Iterator[Event | None]:
    """Yield what happened `after` an event and what happens from now on, each once, until the job or the time is over.

    None is yielded when nothing has happened for `heartbeat` seconds. Progress never goes back. No transaction is open
    while the caller has an event.
    """
    ends = time.monotonic() + longest
    last: Event | None = None
    while True:
        for event in timeline.events(now=utc_now()):
            if after is None or event.position > after or (last is not None and event.corrects(last)):
                yield event
                after, last = event.position, event
        left = ends - time.monotonic()
        if timeline.over or left <= 0:
            return
        row = watch.next(min(heartbeat, left))
        if row is None:
            yield None
        elif timeline.is_as_of(row):
            timeline = replace(timeline, job=row)
        else:
            try:
                timeline = read()
            except Unavailable as error:  # the answer has begun and cannot say so: the client comes back
                log.info("stream_cut", job_id=str(watch.job_id), reason=error)
                return
