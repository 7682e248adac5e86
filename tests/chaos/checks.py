"""What must hold after every run, whatever happened in it: each check returns the jobs that break it."""

from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

from backend.jobs.states import FINAL, AttemptOutcome, JobState
from tests.chaos.evidence import Evidence, JobRow
from tests.chaos.load import Submission

POISON = ("chaos.poison", "chaos.batch_poison")
WITH_EFFECT = ("chaos.effect", "chaos.chunks", "blood.match", *POISON)
FILES = "platform.predict_file"


class Run:
    """What clients were told, beside what was stored."""

    def __init__(self, submissions: Iterable[Submission], evidence: Evidence) -> None:
        self.submissions = list(submissions)
        self.evidence = evidence
        self.acknowledged = {job_id: one for one in self.submissions for job_id in one.job_ids}

    def jobs(self, *states: JobState) -> list[JobRow]:
        """Return the acknowledged jobs in these states."""
        return [job for job in self.evidence.jobs.values() if job.id in self.acknowledged and job.state in states]

    def succeeded(self) -> set[UUID]:
        return {job.id for job in self.evidence.jobs.values() if job.state == JobState.SUCCEEDED}


Check = Callable[[Run], set[UUID]]


def lost(run: Run) -> set[UUID]:
    return {job_id for job_id in run.acknowledged if job_id not in run.evidence.jobs} | run.evidence.unfinished()


def failed(run: Run) -> set[UUID]:
    return {job.id for job in run.evidence.jobs.values() if job.state == JobState.FAILED}


def dead_without_poison(run: Run) -> set[UUID]:
    return {job.id for job in run.evidence.jobs.values() if job.state == JobState.DEAD and job.kind not in POISON}


def poison_not_dead(run: Run) -> set[UUID]:
    return {job.id for job in run.evidence.jobs.values() if job.kind in POISON and job.state != JobState.DEAD}


def effects_twice(run: Run) -> set[UUID]:
    twice = {job_id for (job_id, _), times in run.evidence.chunks.items() if times > 1}
    return twice | {job_id for job_id, attempts in run.evidence.effects.items() if len(attempts) > 1}


def succeeded_without_effect(run: Run) -> set[UUID]:
    chunks = Counter(job_id for job_id, _ in run.evidence.chunks)
    found = set()
    for job_id in run.succeeded():
        job = run.evidence.jobs[job_id]
        no_effect = job.kind in WITH_EFFECT and not run.evidence.effects.get(job_id)
        no_file = job.kind == FILES and job_id not in run.evidence.whole_files
        if no_effect or no_file or chunks[job_id] < job.chunks:
            found.add(job_id)
    return found


def effect_without_success(run: Run) -> set[UUID]:
    return {job_id for job_id, attempts in run.evidence.effects.items() if attempts} - run.succeeded()


def effect_of_another_attempt(run: Run) -> set[UUID]:
    wrong = set()
    for job_id in run.succeeded() & run.evidence.effects.keys():
        outcomes = run.evidence.attempts[job_id]
        if any(outcomes[attempt - 1] != AttemptOutcome.SUCCEEDED for attempt in run.evidence.effects[job_id]):
            wrong.add(job_id)
    return wrong


def too_many_attempts(run: Run) -> set[UUID]:
    evidence = run.evidence
    return {
        job.id for job in evidence.jobs.values() if max(job.attempt, len(evidence.attempts[job.id])) > job.max_attempts
    }


def attempts_that_do_not_add_up(run: Run) -> set[UUID]:
    wrong = set()
    for job in run.evidence.jobs.values():
        outcomes = run.evidence.attempts[job.id]
        successes = outcomes.count(AttemptOutcome.SUCCEEDED)
        if len(outcomes) != job.attempt or successes != (job.state == JobState.SUCCEEDED):
            wrong.add(job.id)
        if job.state in FINAL and "unknown" in outcomes:
            wrong.add(job.id)
    return wrong


def cancelled_unasked(run: Run) -> set[UUID]:
    return {job.id for job in run.jobs(JobState.CANCELLED) if not run.acknowledged[job.id].cancel_asked}


def expired_without_deadline(run: Run) -> set[UUID]:
    return {job.id for job in run.jobs(JobState.EXPIRED) if "_by=" not in run.acknowledged[job.id].order.path}


def other_state_than_told(run: Run) -> set[UUID]:
    return {
        job_id
        for job_id, one in run.acknowledged.items()
        if one.told is not None and job_id in run.evidence.jobs and run.evidence.jobs[job_id].state != one.told
    }


def another_job_for_the_key(run: Run) -> set[UUID]:
    return {job_id for one in run.submissions if len(one.job_ids) > 1 for job_id in one.job_ids}


def never_acknowledged(run: Run) -> set[UUID]:
    submitted = {job.id for job in run.evidence.jobs.values() if job.parent_id is None and job.kind in SUBMITTED}
    return submitted - run.acknowledged.keys()


SUBMITTED = (*WITH_EFFECT, FILES)
MUST_BE_NONE: dict[str, Check] = {
    "lost (acknowledged and not there, or not finished)": lost,
    "effects applied twice": effects_twice,
    "succeeded without effect": succeeded_without_effect,
    "effect without success": effect_without_success,
    "effect of another attempt than the one that succeeded": effect_of_another_attempt,
    "more attempts than allowed": too_many_attempts,
    "attempts that do not add up": attempts_that_do_not_add_up,
    "failed, with nothing wrong with the request": failed,
    "dead, and no poison": dead_without_poison,
    "poison that did not end dead": poison_not_dead,
    "cancelled, and nobody asked": cancelled_unasked,
    "expired, and there was no deadline": expired_without_deadline,
    "in another state than the final one a client was told": other_state_than_told,
    "answered with another job for the same key": another_job_for_the_key,
    "stored and never acknowledged (a repeated POST made a second job)": never_acknowledged,
}
