"""The states of a job and the moves between them; the table is the specification that the SQL guards enforce."""

from enum import IntEnum, StrEnum


class JobState(StrEnum):
    """Where a job is. Asking to cancel an unfinished job is a request on the row, not a state."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # for its parts
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # its time to start or to finish had passed
    DEAD = "dead"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED, JobState.DEAD})
UNFINISHED = frozenset(JobState) - FINAL

MOVES = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.RUNNING: FINAL | {JobState.QUEUED, JobState.WAITING},  # back to queued on a retry or a lost lease
    JobState.WAITING: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}),
    **{state: frozenset[JobState]() for state in FINAL},
}


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SPLIT = "split"  # left the rest to parts
    RETURNED = "returned"  # left by a worker that stops, or to urgent work; not counted
    LOST = "lost"


class Priority(IntEnum):
    """Who goes first, the lowest number; also the priority of the message, of which Celery knows 0 to 9."""

    URGENT = 0
    NORMAL = 3
    LOW = 6


class Urgency(StrEnum):
    """The priorities as clients say them."""

    URGENT = "urgent"
    NORMAL = "normal"
    LOW = "low"


class Resolution(StrEnum):
    """What a person did about a dead letter."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"
