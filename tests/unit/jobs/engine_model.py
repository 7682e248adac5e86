"""What the job engine promises, in plain Python: every job as it should be after each step.

The model chooses nothing that the engine may choose (which of several equal jobs is claimed, how long a pause is):
there it looks at the rows and sees that the choice is allowed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from backend.errors import AttemptEnded, Cancelled, Expired, HandedBack, LeaseLost, TimedOut
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.states import FINAL, MOVES, UNFINISHED, AttemptOutcome, JobState
from tests.unit.jobs.engine_stage import LEASE

PATIENCE = timedelta(seconds=10)
AT_ONCE = 2  # parts of one job
FREE = (AttemptOutcome.SPLIT, AttemptOutcome.RETURNED)  # what costs no attempt

ENDS = {
    Expired: AttemptOutcome.EXPIRED,
    Cancelled: AttemptOutcome.CANCELLED,
    HandedBack: AttemptOutcome.RETURNED,
    TimedOut: AttemptOutcome.RETRIED,
}
"""How an attempt ends that was told to."""

STATES = {
    AttemptOutcome.SUCCEEDED: JobState.SUCCEEDED,
    AttemptOutcome.FAILED: JobState.FAILED,
    AttemptOutcome.CANCELLED: JobState.CANCELLED,
    AttemptOutcome.EXPIRED: JobState.EXPIRED,
    AttemptOutcome.SPLIT: JobState.WAITING,
    AttemptOutcome.RETURNED: JobState.QUEUED,
}
"""What an attempt's end makes of its job, where that does not depend on how many there were."""

Rows = dict[UUID, Row[Any]]


@dataclass(eq=False)
class Expected:
    """One job as it should be."""

    kind: JobKind
    value: int
    priority: int
    available_at: datetime | None  # None: a part that is not released
    rung_at: datetime | None  # when the bell was last rung since it is queued
    start_by: datetime | None = None
    finish_by: datetime | None = None
    parent: UUID | None = None
    state: JobState = JobState.QUEUED
    outcomes: list[AttemptOutcome | None] = field(default_factory=list)  # None: it runs
    lease_until: datetime | None = None
    asked_to_cancel: bool = False
    cancelled_by_client: bool = False
    checkpoint: dict[str, Any] | None = None
    resolution: str | None = None
    bulk: UUID | None = None
    replay_of: UUID | None = None

    def move(self, state: JobState) -> None:
        assert state in MOVES[self.state], f"{self.state} to {state} is no move"
        self.state = state

    def queue_again(self, *, available_at: datetime, rung_at: datetime | None = None) -> None:
        self.move(JobState.CANCELLED if self.asked_to_cancel else JobState.QUEUED)
        self.available_at, self.rung_at = available_at, rung_at

    @property
    def counted(self) -> int:
        return sum(outcome not in FREE for outcome in self.outcomes)

    @property
    def used_up(self) -> bool:
        return self.counted >= self.kind.max_attempts

    @property
    def stopped_by_itself(self) -> bool:
        """Whether it ended without success, and not because its whole did or was late."""
        cancelled = self.state == JobState.CANCELLED and self.cancelled_by_client
        return cancelled or self.state in (JobState.FAILED, JobState.DEAD)

    def is_owned_by(self, attempt: int) -> bool:
        return self.state == JobState.RUNNING and len(self.outcomes) == attempt

    def is_due(self, now: datetime) -> bool:
        return self.state == JobState.QUEUED and self.available_at is not None and self.available_at <= now

    def is_late(self, now: datetime) -> bool:
        return self.finish_by is not None and self.finish_by <= now

    def is_too_late(self, now: datetime) -> bool:
        """Whether it may not be begun any more."""
        return self.is_late(now) or (not self.outcomes and self.start_by is not None and self.start_by <= now)

    def was_rung_lately(self, now: datetime) -> bool:
        return self.rung_at is not None and self.rung_at >= now - PATIENCE


class Model:
    """All jobs as they should be, and what was said to the attempts that run."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Expected] = {}
        self.told: dict[tuple[UUID, int], type[AttemptEnded]] = {}  # the first reason to end counts

    def unfinished(self) -> list[UUID]:
        return [job_id for job_id, job in self.jobs.items() if job.state in UNFINISHED]

    def unfinished_like(self, kind: JobKind, value: int) -> UUID | None:
        """The one job that may be unfinished of a unique kind."""
        alike = [
            job_id
            for job_id in self.unfinished()
            if self.jobs[job_id].kind is kind and (kind.unique is Unique.KIND or self.jobs[job_id].value == value)
        ]
        return alike[0] if alike else None

    def parts_of(self, parent: UUID) -> list[Expected]:
        return [job for job in self.jobs.values() if job.parent == parent]

    def claim(self, kind: JobKind, rung: UUID, rows: Rows, now: datetime) -> list[UUID]:
        """The rung job, and for a kind that claims several the most urgent of the others; none that is not ready."""
        ready = {
            job_id
            for job_id, job in self.jobs.items()
            if job.kind is kind and job.is_due(now) and not job.is_too_late(now)
        }
        claimed = {job_id for job_id, job in self.jobs.items() if rows[job_id].attempt != len(job.outcomes)}
        others = ready - {rung}
        assert claimed <= ready, "a job was claimed that is not ready"
        assert (rung in claimed) == (rung in ready)
        assert len(claimed - {rung}) == min(len(others), kind.claims - 1)
        urgency = {job_id: (self.jobs[job_id].priority, self.jobs[job_id].available_at) for job_id in others}
        left = [urgency[job_id] for job_id in others - claimed]
        assert all(urgency[job_id] <= min(left) for job_id in claimed - {rung} if left), "a more urgent job was left"
        for job_id in claimed:
            job = self.jobs[job_id]
            job.move(JobState.RUNNING)
            job.outcomes.append(None)
            job.lease_until = now + LEASE
        return list(claimed)

    def beat(self, contexts: Sequence[JobContext], *, stops: bool, now: datetime) -> None:
        """Who owns a job keeps it, unless the attempt is past its time; each is told why it must stop."""
        for context in contexts:
            job, key = self.jobs[context.job_id], (context.job_id, context.attempt)
            if stops:
                self.told.setdefault(key, HandedBack)
            if context.overdue:
                continue
            if not job.is_owned_by(context.attempt):
                self.told.setdefault(key, LeaseLost)
                continue
            job.lease_until = now + LEASE
            if job.asked_to_cancel:
                self.told.setdefault(key, Cancelled)

    def why_ends(self, context: JobContext, now: datetime, *, overdue: bool) -> type[AttemptEnded] | None:
        """The reason for which an attempt must leave at its next check."""
        told = self.told.get((context.job_id, context.attempt))
        if told is None and self.jobs[context.job_id].is_late(now):
            return Expired
        return told or (TimedOut if overdue else None)

    def end(self, context: JobContext, outcome: AttemptOutcome, rows: Rows, now: datetime) -> bool:
        """What an attempt's end does: nothing if it does not own the job; returns whether it does."""
        job, row = self.jobs[context.job_id], rows[context.job_id]
        if not job.is_owned_by(context.attempt):
            return False
        if outcome == AttemptOutcome.RETRIED:
            self._retry(job, row, now)
            return True
        job.outcomes[-1] = outcome
        if outcome == AttemptOutcome.RETURNED:
            job.queue_again(available_at=now)
            return True
        job.move(STATES[outcome])
        if outcome == AttemptOutcome.SUCCEEDED:
            job.checkpoint = None
        return True

    def _retry(self, job: Expected, row: Row[Any], now: datetime) -> None:
        if job.used_up:
            job.outcomes[-1] = AttemptOutcome.FAILED
            job.move(JobState.DEAD)
            return
        longest = timedelta(seconds=min(2.0 ** len(job.outcomes), 300))
        assert now + longest / 2 <= row.available_at <= now + longest
        job.outcomes[-1] = AttemptOutcome.RETRIED
        job.queue_again(available_at=row.available_at)

    def split(self, parent: UUID, kind: JobKind, values: Sequence[int], rows: Rows) -> None:
        """The parts exist, in their order, as urgent as the whole and due when it is; none is released."""
        whole = self.jobs[parent]
        whole.checkpoint = (whole.checkpoint or {}) | {"split": True}
        parts = sorted((row for row in rows.values() if row.parent_id == parent), key=lambda row: row.part)
        assert [row.request for row in parts] == [{"value": value} for value in values]
        for row, value in zip(parts, values, strict=True):
            terms = {"priority": whole.priority, "finish_by": whole.finish_by, "available_at": None, "rung_at": None}
            self.jobs[row.id] = Expected(kind, value, parent=parent, **terms)

    def advance(self, parent: UUID | None, rows: Rows, now: datetime) -> None:
        """A waiting job runs again when all parts have succeeded, and ends with those that did not."""
        whole = self.jobs.get(parent) if parent else None
        if whole is None or whole.state != JobState.WAITING:
            return
        parts = self.parts_of(parent)
        stopped = any(part.state in FINAL - {JobState.SUCCEEDED} for part in parts)
        if stopped or whole.asked_to_cancel or whole.is_late(now):
            self._give_up(whole, parts, rows[parent], now)
        elif all(part.state == JobState.SUCCEEDED for part in parts):
            whole.queue_again(available_at=now, rung_at=now)
        else:
            open_ = sum(part.state in UNFINISHED and part.available_at is not None for part in parts)
            held = [part for part in parts if part.state == JobState.QUEUED and part.available_at is None]
            for part in held[: AT_ONCE - open_]:
                part.available_at = part.rung_at = now

    def _give_up(self, whole: Expected, parts: Sequence[Expected], row: Row[Any], now: datetime) -> None:
        for part in parts:
            if part.state == JobState.QUEUED:
                part.move(JobState.CANCELLED)
            if part.state in (JobState.RUNNING, JobState.CANCELLED):
                part.asked_to_cancel = True
        if any(part.state == JobState.RUNNING for part in parts):
            return
        if whole.asked_to_cancel:
            whole.move(JobState.CANCELLED)
            return
        ends = set()
        if any(part.stopped_by_itself for part in parts):
            ends.add(JobState.FAILED)
        if whole.is_late(now) or any(part.state == JobState.EXPIRED for part in parts):
            ends.add(JobState.EXPIRED)
        assert row.state in ends, f"a job whose parts ended is {row.state} and should be one of {ends}"
        whole.move(JobState(row.state))

    def cancel(self, job_id: UUID) -> None:
        """A queued job ends at once; a running one is asked, and so are the parts of one that waits."""
        job = self.jobs[job_id]
        job.asked_to_cancel = job.cancelled_by_client = True
        if job.state == JobState.QUEUED:
            job.move(JobState.CANCELLED)

    def bring_back(self, now: datetime) -> None:
        """Jobs whose lease ran out are queued again, or end when they were asked to or have no attempt left."""
        for job in self.jobs.values():
            if job.state != JobState.RUNNING or job.lease_until >= now:
                continue
            last = job.used_up
            job.outcomes[-1] = AttemptOutcome.LOST
            if job.asked_to_cancel:
                job.move(JobState.CANCELLED)
            elif last:
                job.move(JobState.DEAD)
            else:
                job.queue_again(available_at=now)

    def expire(self, now: datetime) -> None:
        """Queued jobs that were not begun or cannot be finished in time end."""
        for job in self.jobs.values():
            if job.state == JobState.QUEUED and job.is_too_late(now):
                job.move(JobState.EXPIRED)

    def ring(
        self, queue: str, published: Sequence[UUID], rows: Rows, *, held: int, refused: bool, now: datetime
    ) -> None:
        """Due jobs that nobody rang for lately are rung, the most urgent first, with no more than the broker lacks."""
        due = {job_id: job for job_id, job in self.jobs.items() if job.kind.queue == queue and job.is_due(now)}
        silent = {job_id: job for job_id, job in due.items() if not job.was_rung_lately(now)}
        assert set(published) <= set(silent), "a job was rung that is not due, or was rung just before"
        needed = sum(messages_for(due.values()).values())
        assert held + len(published) <= max(held, needed), "the broker was given more messages than the jobs need"
        served = {job_id: job for job_id, job in silent.items() if rows[job_id].rung_at == now}
        left = [job.priority for job_id, job in silent.items() if job_id not in served]
        assert messages_for(served.values()) == messages_for([self.jobs[job_id] for job_id in published], claims=1)
        assert refused or not left or held + len(published) >= needed, "a due job stays unrung"
        assert all(job.priority <= min(left) for job in served.values() if left), "a more urgent job stays unrung"
        for job in served.values():
            job.rung_at = now


def messages_for(jobs: Iterable[Expected], *, claims: int | None = None) -> Counter[tuple[str, int]]:
    """The messages that serve some jobs of one queue, by kind and priority."""
    waiting = Counter((job.kind, job.priority) for job in jobs)
    return Counter(
        {(kind.name, priority): ceil(n / (claims or kind.claims)) for (kind, priority), n in waiting.items()}
    )
