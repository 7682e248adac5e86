"""A job that its worker hands back goes on elsewhere, at no cost to it."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select

from backend.clock import utc_now
from backend.errors import HandedBack, LeaseLost, Unavailable
from backend.extensions import transaction
from backend.jobs import finish
from backend.jobs.claim import claim
from backend.jobs.context import JobContext
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.leases import LeaseKeeper
from backend.jobs.states import AttemptOutcome, JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import Job, JobAttempt
from backend.jobs.views import get_job
from tests.unit.conftest import LEASE, Behaviour, Doubled, Number, SilentDoorbell


def row(job_id) -> Job:
    with transaction(read_only=True) as session:
        return session.get_one(Job, job_id)


def outcomes(job_id) -> list[str | None]:
    of_job = select(JobAttempt.outcome).where(JobAttempt.job_id == job_id).order_by(JobAttempt.number)
    with transaction(read_only=True) as session:
        return list(session.scalars(of_job))


def hand_back_after(chunks: int):
    def act(_request: Number, context: JobContext) -> Doubled:
        done = context.checkpoint["done"] if context.checkpoint else 0
        for chunk in range(done, done + chunks):
            with context.commit({"done": chunk + 1}):
                pass
        context.end(HandedBack("the worker stops"))
        context.check()
        raise AssertionError("it leaves at its next check")

    return act


def test_it_is_queued_again_at_once_with_its_checkpoint_and_rung_for(
    kind: JobKind, worker: Worker, doorbell: SilentDoorbell, behaviour: Behaviour
):
    behaviour.act = hand_back_after(2)
    job = submit(kind, Number())
    doorbell.rings.clear()
    execute(kind, job.id, worker)
    left = row(job.id)
    assert (left.state, left.checkpoint, left.lease_until, left.rung_at) == (JobState.QUEUED, {"done": 2}, None, None)
    assert left.available_at <= utc_now()
    assert left.error_code is None
    assert outcomes(job.id) == [AttemptOutcome.RETURNED]
    assert [ring[2] for ring in doorbell.rings] == [job.id]


def test_it_costs_no_attempt_however_often(kind: JobKind, worker: Worker, doorbell, behaviour: Behaviour):
    job = submit(kind, Number(value=4))
    behaviour.act = hand_back_after(1)
    for times in range(1, 6):
        execute(kind, job.id, worker)
        left = row(job.id)
        assert left.max_attempts - left.attempt == kind.max_attempts
        assert left.checkpoint == {"done": times}

    def fail(_request: Number, _context: JobContext) -> Doubled:
        raise Unavailable("later")

    behaviour.act = fail
    for _ in range(kind.max_attempts):
        assert row(job.id).state == JobState.QUEUED
        with transaction() as session:
            session.get_one(Job, job.id).available_at = utc_now()
        execute(kind, job.id, worker)
    assert row(job.id).state == JobState.DEAD
    assert row(job.id).attempt == row(job.id).max_attempts


def test_an_attempt_that_lost_its_lease_hands_nothing_back(kind: JobKind, worker: Worker, doorbell):
    job = submit(kind, Number())
    (late,) = claim(kind, job.id, worker="w1", lease=LEASE)
    finish.retry(late, code="unavailable", message="", backoff=kind.backoff)
    with transaction() as session:
        session.get_one(Job, job.id).available_at = utc_now()
    (fresh,) = claim(kind, job.id, worker="w2", lease=LEASE)
    before = row(job.id)
    with pytest.raises(LeaseLost):
        finish.hand_back(late)
    after = row(job.id)
    assert (after.state, after.attempt, after.max_attempts) == (JobState.RUNNING, fresh.attempt, before.max_attempts)
    assert outcomes(job.id) == [AttemptOutcome.RETRIED, None]


def test_a_keeper_whose_worker_stops_ends_what_it_holds_at_its_next_look(kind: JobKind, app, doorbell):
    stopping = False
    keeper = LeaseKeeper(app.app_context, lease=timedelta(hours=1), stopping=lambda: stopping)
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    context = JobContext(job_id=job.id, models=None)
    with keeper.holding(held, context):
        keeper.look()
        context.check()
        stopping = True
        keeper.look()
        with pytest.raises(HandedBack, match="the worker stops"):
            context.check()


def test_a_keeper_names_the_attempts_that_are_past_their_time(kind: JobKind, app, doorbell):
    keeper = LeaseKeeper(app.app_context, lease=LEASE)
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    context = JobContext(job_id=job.id, models=None)
    with keeper.holding(held, context):
        assert keeper.overdue() == []
        context.begin(timeout=-1)
        assert keeper.overdue() == [f"{job.id}/1"]
    assert keeper.overdue() == []


def test_a_job_that_was_to_be_cancelled_is_not_queued_again(kind: JobKind, doorbell):
    for leave in (finish.hand_back, partial(finish.retry, code="x", message="it went away")):
        job = submit(kind, Number())
        (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
        cancel(job.id)
        leave(held)
        ended = get_job(job.id)
        assert (ended.state, ended.finished_at is not None) == (JobState.CANCELLED, True)
