"""The states of a job and the moves between them; the table is the specification that the SQL guards enforce."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. Asking to cancel an unfinished job is a request on the row, not a state."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # for its parts
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD})

MOVES = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: FINAL | {JobState.QUEUED, JobState.WAITING},  # back to queued on a retry or a lost lease
    JobState.WAITING: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}),
    **{state: frozenset[JobState]() for state in FINAL},
}


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    SPLIT = "split"  # left the rest to parts
    LOST = "lost"
