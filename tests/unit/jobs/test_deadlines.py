"""Deadlines: what is too late is not begun, and what comes too late is not delivered."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from backend.clock import utc_now
from backend.errors import Expired, Unavailable
from backend.extensions import transaction
from backend.jobs import finish
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.execute import execute
from backend.jobs.parts import Parts, advance
from backend.jobs.reconcile import reconcile
from backend.jobs.states import AttemptOutcome, JobState, Priority
from backend.jobs.submit import submit
from backend.jobs.tables import Job, JobAttempt
from backend.jobs.terms import Terms
from backend.jobs.views import get_job
from tests.unit.conftest import LEASE, Doubled, Number

HOUR = timedelta(hours=1)
NOT_BEGUN = "the job was not begun by its start_by"
NOT_FINISHED = "the job was not finished by its finish_by"


def submitted(kind, *names: str, priority=Priority.NORMAL):
    """A job with deadlines in an hour."""
    later = dict.fromkeys(names, utc_now() + HOUR)
    return submit(kind, Number(value=1), terms=Terms(priority=priority, **later)).id


def set_columns(job_id, **values):
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def let_pass(job_id, *names: str):
    set_columns(job_id, **dict.fromkeys(names, utc_now() - timedelta(milliseconds=1)))


def outcomes(job_id):
    with transaction(read_only=True) as session:
        attempts = select(JobAttempt.outcome).where(JobAttempt.job_id == job_id).order_by(JobAttempt.number)
        return list(session.scalars(attempts))


def ended(job_id):
    job = get_job(job_id)
    return job.state, job.error and (job.error.code, job.error.message), job.finished_at is not None


@pytest.mark.parametrize(("name", "why"), [("start_by", NOT_BEGUN), ("finish_by", NOT_FINISHED)])
def test_a_queued_job_past_its_deadline_is_never_claimed_and_expires(kind, doorbell, name, why):
    job_id = submitted(kind, name)
    assert reconcile(doorbell, patience=HOUR).expired == 0, "not before its time"
    let_pass(job_id, name)
    assert claim(kind, job_id, worker="w", lease=LEASE) == []
    assert reconcile(doorbell, patience=HOUR).expired == 1
    assert ended(job_id) == (JobState.EXPIRED, ("expired", why), True)
    assert reconcile(doorbell, patience=HOUR).expired == 0, "once"


@pytest.mark.parametrize("name", ["start_by", "finish_by"])
def test_neither_is_it_claimed_together_with_others(kind, doorbell, name):
    many = replace(kind, claims=5)
    late, good, also = (submitted(many, name) for _ in range(3))
    let_pass(late, name)
    assert {one.job_id for one in claim(many, good, worker="w", lease=LEASE)} == {good, also}


def test_a_retry_is_not_bound_by_the_start(kind, worker, doorbell, behaviour):
    def act(_request, context):
        if context.attempt == 1:
            let_pass(context.job_id, "start_by")
            raise Unavailable("once")
        return Doubled(value=1)

    behaviour.act = act
    job_id = submitted(kind, "start_by")
    execute(kind, job_id, worker)
    set_columns(job_id, available_at=utc_now())
    assert reconcile(doorbell, patience=HOUR).expired == 0
    execute(kind, job_id, worker)
    assert get_job(job_id).state is JobState.SUCCEEDED


def test_a_retry_is_bound_by_the_end_also_while_it_pauses(kind, worker, doorbell, behaviour):
    def act(_request, _context):
        raise Unavailable("not yet")

    behaviour.act = act
    job_id = submitted(kind, "finish_by")
    execute(kind, job_id, worker)
    let_pass(job_id, "finish_by")
    assert reconcile(doorbell, patience=HOUR).expired == 1
    assert ended(job_id)[:2] == (JobState.EXPIRED, ("expired", NOT_FINISHED))
    assert outcomes(job_id) == [AttemptOutcome.RETRIED]


def test_a_running_job_leaves_at_its_next_check_and_delivers_nothing(kind, worker, doorbell, behaviour, monkeypatch):
    def act(_request, context: JobContext):
        late = utc_now() + 2 * HOUR
        monkeypatch.setattr("backend.jobs.context.utc_now", lambda: late)
        context.progress(0.5)
        raise AssertionError("an attempt whose time has passed leaves at its next check")

    behaviour.act = act
    job_id = submitted(kind, "finish_by")
    execute(kind, job_id, worker)
    assert ended(job_id) == (JobState.EXPIRED, ("expired", NOT_FINISHED), True)
    assert outcomes(job_id) == [AttemptOutcome.EXPIRED]
    assert get_job(job_id).result is None


def test_a_job_that_does_not_check_delivers_nothing_either(kind, worker, doorbell, behaviour, monkeypatch):
    def act(_request, _context):
        late = utc_now() + 2 * HOUR
        monkeypatch.setattr("backend.jobs.context.utc_now", lambda: late)
        return Doubled(value=1)

    behaviour.act = act
    job_id = submitted(kind, "finish_by")
    execute(kind, job_id, worker)
    assert ended(job_id)[0] is JobState.EXPIRED
    assert get_job(job_id).result is None


def test_a_result_that_comes_a_moment_late_is_not_stored(kind, worker, doorbell, monkeypatch):
    job_id = submitted(kind, "finish_by")
    (held,) = claim(kind, job_id, worker="w", lease=LEASE)
    context = JobContext(job_id=job_id, models=RecordingModels(worker.models))
    monkeypatch.setattr(finish, "utc_now", lambda: held.finish_by)
    with pytest.raises(Expired):
        finish.succeed(held, Doubled(value=1), context)
    assert get_job(job_id).state is JobState.RUNNING
    monkeypatch.setattr(finish, "utc_now", lambda: held.finish_by - timedelta(microseconds=1))
    finish.succeed(held, Doubled(value=1), context)
    assert get_job(job_id).state is JobState.SUCCEEDED


def test_an_attempt_whose_worker_is_lost_after_the_end_expires(kind, doorbell):
    job_id = submitted(kind, "finish_by")
    claim(kind, job_id, worker="w", lease=LEASE)
    set_columns(job_id, lease_until=utc_now() - HOUR)
    let_pass(job_id, "finish_by")
    done = reconcile(doorbell, patience=HOUR)
    assert (done.leases_lost, done.expired) == (1, 1)
    assert ended(job_id)[0] is JobState.EXPIRED


def test_an_attempt_past_the_end_is_not_kept_alive(kind, worker, doorbell):
    job_id = submitted(kind, "finish_by")
    (held,) = claim(kind, job_id, worker="w", lease=LEASE)
    context = JobContext(
        job_id=job_id, models=RecordingModels(worker.models), finish_by=utc_now() - timedelta(seconds=1)
    )
    context.begin(timeout=60)
    with worker.leases.holding(held, context):
        assert worker.leases.overdue() == [f"{job_id}/1"]


@pytest.mark.usefixtures("doorbell")
class TestParts:
    @pytest.fixture
    def whole(self, kind):
        def run(request, context):
            if context.checkpoint is None:
                return Parts(kind, [Number(value=n) for n in range(3)], {"left": True}, at_once=1)
            return Doubled(value=0)

        return replace(kind, name="test.whole", run=run)

    @pytest.fixture
    def waiting(self, whole, worker):
        """A job that waits for its parts, the first of which is released."""
        job_id = submitted(whole, "finish_by", priority=Priority.URGENT)
        execute(whole, job_id, worker)
        return job_id

    @staticmethod
    def parts(job_id):
        with transaction(read_only=True) as session:
            return list(session.scalars(select(Job).where(Job.parent_id == job_id).order_by(Job.part)))

    def test_parts_are_as_urgent_as_the_job_and_due_when_it_is(self, waiting):
        parent = get_job(waiting)
        assert {(part.priority, part.finish_by) for part in self.parts(waiting)} == {(0, parent.finish_by)}

    def test_a_waiting_job_expires_with_what_is_left_of_its_parts(self, waiting, doorbell):
        let_pass(waiting, "finish_by")
        for part in self.parts(waiting):
            let_pass(part.id, "finish_by")
        reconcile(doorbell, patience=HOUR)
        assert ended(waiting) == (JobState.EXPIRED, ("expired", NOT_FINISHED), True)
        assert {part.state for part in self.parts(waiting)} == {"expired"}

    def test_a_part_that_runs_is_asked_to_stop_and_the_job_expires_after_it(self, waiting, kind, doorbell):
        running, *_ = self.parts(waiting)
        (held,) = claim(kind, running.id, worker="w", lease=LEASE)
        let_pass(waiting, "finish_by")
        reconcile(doorbell, patience=HOUR)
        assert get_job(waiting).state is JobState.WAITING
        finish.cancel_running(held)
        advance(waiting)
        assert ended(waiting) == (JobState.EXPIRED, ("expired", NOT_FINISHED), True)


@pytest.mark.parametrize("claims", [1, 10])
def test_the_urgent_are_claimed_before_the_normal_and_those_before_the_low(kind, doorbell, claims):
    several = replace(kind, claims=claims)
    order = (Priority.LOW, Priority.NORMAL, Priority.URGENT, Priority.NORMAL)
    ids = {submitted(several, priority=priority): priority for priority in order}
    by_rings = sorted(ids, key=ids.__getitem__)  # as the broker hands them out
    claimed = [one for job_id in by_rings for one in claim(several, job_id, worker="w", lease=LEASE)]
    assert [one.priority for one in claimed] == [0, 3, 3, 6]


def test_of_more_than_one_ring_may_claim_the_urgent_are_first_beside_the_one_that_was_rung(kind, doorbell):
    three = replace(kind, claims=3)
    low, normal, urgent, other = (
        submitted(three, priority=priority)
        for priority in (Priority.LOW, Priority.NORMAL, Priority.URGENT, Priority.NORMAL)
    )
    claimed = [one.job_id for one in claim(three, low, worker="w", lease=LEASE)]
    assert claimed == [urgent, normal, low]
    assert [one.job_id for one in claim(three, other, worker="w", lease=LEASE)] == [other]
