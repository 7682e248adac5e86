"""What must hold of the tables after every step, whatever was done."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from backend.jobs.states import FINAL, MOVES, UNFINISHED, AttemptOutcome, JobState, Resolution
from tests.unit.jobs.engine_model import FREE, Model

RESOLVED = {"resolution", "resolution_reason", "resolved_at"}  # what may be written on a job that has ended

LAST = {
    JobState.RUNNING: {None},
    JobState.WAITING: {AttemptOutcome.SPLIT},
    JobState.SUCCEEDED: {AttemptOutcome.SUCCEEDED},
    JobState.FAILED: {AttemptOutcome.FAILED, AttemptOutcome.SPLIT},
    JobState.DEAD: {AttemptOutcome.FAILED, AttemptOutcome.LOST},
}
"""How the last attempt of a job ended that is in a state; it does not matter for the others."""


@dataclass(frozen=True)
class Seen:
    """The tables as they are."""

    jobs: dict[UUID, Row[Any]]
    attempts: dict[UUID, list[Row[Any]]]
    effects: Sequence[Row[Any]]


def check_promises(before: Seen, after: Seen) -> None:
    """Hold the tables against what is promised of all jobs."""
    for job_id, old in before.jobs.items():
        new = after.jobs[job_id]
        if old.state in FINAL:
            assert without_resolution(new) == without_resolution(old), "what has ended does not change"
        assert new.state == old.state or JobState(new.state) in MOVES[JobState(old.state)]
        assert new.attempt >= old.attempt
        assert old.resolution in (None, new.resolution), "a dead letter is dealt with once"
    for job_id, job in after.jobs.items():
        check_job(job, after.attempts[job_id])
    check_effects(after)
    check_uniqueness(after)


def without_resolution(job: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in job._mapping.items() if name not in RESOLVED}


def check_job(job: Row[Any], attempts: list[Row[Any]]) -> None:
    """Hold a job against itself and its attempts."""
    assert (job.finished_at is not None) == (job.state in FINAL)
    assert (job.result is not None) == (job.state == JobState.SUCCEEDED)
    assert (job.lease_until is not None) == (job.state == JobState.RUNNING)
    assert job.attempt <= job.max_attempts
    assert [attempt.number for attempt in attempts] == list(range(1, job.attempt + 1))
    for attempt in attempts:
        assert (attempt.finished_at is None) == (attempt.outcome is None)
        assert attempt.outcome is not None or (attempt is attempts[-1] and job.state == JobState.RUNNING)
    last = attempts[-1].outcome if attempts else None
    assert job.state not in LAST or last in LAST[job.state], f"a {job.state} job whose last attempt is {last}"


def check_effects(seen: Seen) -> None:
    """What a job stores is there once when it succeeded, from the attempt that did, and otherwise not at all."""
    stored = Counter((effect.job_id, effect.attempt) for effect in seen.effects)
    succeeded = [(job.id, job.attempt) for job in seen.jobs.values() if job.state == JobState.SUCCEEDED]
    assert stored == Counter(succeeded)


def check_uniqueness(seen: Seen) -> None:
    """One unfinished job of a unique kind, one replay of a dead letter."""
    unfinished = Counter(job.unique_key for job in seen.jobs.values() if job.unique_key and job.state in UNFINISHED)
    assert all(count == 1 for count in unfinished.values())
    replays = Counter(job.replay_of for job in seen.jobs.values() if job.replay_of)
    assert all(count == 1 for count in replays.values())
    assert set(replays) == {job.id for job in seen.jobs.values() if job.resolution == Resolution.REPLAYED}


def check_agreement(model: Model, seen: Seen) -> None:
    """Hold every job against what it should be; there are no others."""
    assert set(seen.jobs) == set(model.jobs)
    for job_id, expected in model.jobs.items():
        job, outcomes = seen.jobs[job_id], [attempt.outcome for attempt in seen.attempts[job_id]]
        is_, should = (
            (job.state, outcomes, job.checkpoint, job.resolution, job.lease_until if job.state == "running" else None),
            (
                expected.state,
                expected.outcomes,
                expected.checkpoint,
                expected.resolution,
                expected.lease_until if job.state == "running" else None,
            ),
        )
        assert is_ == should, f"job {job_id} of kind {job.kind}"
        assert (job.cancel_requested_at is not None) == expected.asked_to_cancel
        assert (job.priority, job.bulk_id, job.replay_of, job.parent_id) == (
            *(expected.priority, expected.bulk),
            *(expected.replay_of, expected.parent),
        )
        assert expected.counted <= expected.kind.max_attempts
        free = sum(outcome in FREE for outcome in outcomes)
        assert job.max_attempts == expected.kind.max_attempts + free
