"""Jobs that leave work to parts, on a real SQLite file."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from backend.errors import ArtifactError, Conflict
from backend.extensions import transaction
from backend.jobs.claim import claim
from backend.jobs.execute import execute
from backend.jobs.finish import cancel_running
from backend.jobs.kinds import JobKind
from backend.jobs.parts import AT_ONCE, Parts, advance
from backend.jobs.reconcile import reconcile
from backend.jobs.states import JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import Job, JobAttempt
from backend.jobs.views import get_job, list_jobs
from tests.unit.conftest import LEASE, Doubled, Number

PARTS = 7


@pytest.fixture
def whole(kind: JobKind) -> JobKind:
    """A job that leaves the numbers below its value to parts, and adds up what they made of them."""

    def run(request: Number, context):
        if context.checkpoint is None:
            return Parts(kind, [Number(value=n) for n in range(request.value)], {"left": request.value})
        assert context.checkpoint == {"left": request.value}
        return Doubled(value=sum(result["value"] for result in context.part_results()))

    return JobKind(
        name="test.whole", path=None, summary="Add up", request=Number, result=Doubled, run=run, timeout=5, retries=0
    )


def parts_of(job_id):
    with transaction(read_only=True) as session:
        return list(session.scalars(select(Job).where(Job.parent_id == job_id).order_by(Job.part)))


def run_everything(doorbell, worker, *kinds):
    """Answer rings in their order until none is left."""
    by_name = {kind.name: kind for kind in kinds}
    while doorbell.rings:
        name, _queue, job_id = doorbell.rings.pop(0)
        execute(by_name[name], job_id, worker)


def test_a_job_waits_for_its_parts_and_then_runs_with_their_results_in_order(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=PARTS))
    run_everything(doorbell, worker, kind, whole)
    done = get_job(job.id)
    assert done.state is JobState.SUCCEEDED
    assert done.result == {"value": 2 * sum(range(PARTS))}
    assert [part.state for part in parts_of(job.id)] == [JobState.SUCCEEDED] * PARTS


def test_leaving_work_to_parts_costs_no_attempt_and_is_on_record(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=1))
    run_everything(doorbell, worker, kind, whole)
    assert (get_job(job.id).attempt, get_job(job.id).max_attempts) == (2, 2)
    with transaction(read_only=True) as session:
        outcomes = session.scalars(
            select(JobAttempt.outcome).where(JobAttempt.job_id == job.id).order_by(JobAttempt.number)
        ).all()
    assert outcomes == ["split", "succeeded"]


def test_a_few_parts_are_released_at_once_and_the_next_when_one_has_ended(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=PARTS))
    execute(whole, doorbell.rings.pop()[2], worker)
    assert get_job(job.id).state is JobState.WAITING
    assert [ring[2] for ring in doorbell.rings] == [part.id for part in parts_of(job.id)[:AT_ONCE]]
    held = parts_of(job.id)[AT_ONCE]
    assert execute(kind, held.id, worker) == 0, "a part that is not released cannot be claimed"
    execute(kind, doorbell.rings[0][2], worker)
    assert doorbell.rings[-1][2] == held.id
    assert get_job(job.id).progress == pytest.approx(1 / PARTS)
    assert get_job(job.id).progress_note == f"1 of {PARTS} parts done"


def test_advancing_again_releases_nothing_more(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=PARTS))
    execute(whole, doorbell.rings.pop()[2], worker)
    rung = list(doorbell.rings)
    advance(job.id)
    assert doorbell.rings == rung


def test_the_reconciler_moves_on_what_a_process_left_that_died_after_ending_a_part(
    kind, whole, worker, doorbell, monkeypatch
):
    job = submit(whole, Number(value=1))
    execute(whole, doorbell.rings.pop()[2], worker)
    monkeypatch.setattr("backend.jobs.execute.advance", lambda _parent: None)
    execute(kind, doorbell.rings.pop()[2], worker)
    assert get_job(job.id).state is JobState.WAITING
    reconcile(doorbell, patience=timedelta(seconds=10))
    assert get_job(job.id).state is JobState.QUEUED


def test_a_part_that_fails_ends_the_whole_and_what_is_left_of_it(kind, whole, worker, doorbell, behaviour):
    def fail(request: Number, context):
        raise ArtifactError("model m: weights.txt is missing")

    job = submit(whole, Number(value=PARTS))
    execute(whole, doorbell.rings.pop()[2], worker)
    behaviour.act = fail
    execute(kind, doorbell.rings[0][2], worker)
    ended = get_job(job.id)
    assert ended.state is JobState.FAILED
    assert ended.error.code == "part_failed"
    assert ended.error.message == f"part 1 of {PARTS} is failed: model m: weights.txt is missing"
    assert [part.state for part in parts_of(job.id)] == ["failed"] + ["cancelled"] * (PARTS - 1)


def test_cancelling_a_job_cancels_its_queued_parts_and_asks_the_running_ones(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=PARTS))
    execute(whole, doorbell.rings.pop()[2], worker)
    running = doorbell.rings[0][2]
    (claimed,) = claim(kind, running, worker="w2", lease=LEASE)
    asked = cancel(job.id)
    assert asked.state is JobState.WAITING
    assert asked.cancelling
    states = {part.state for part in parts_of(job.id) if part.id != running}
    assert states == {"cancelled"}
    assert get_job(running).cancelling
    cancel_running(claimed)
    advance(job.id)
    assert get_job(job.id).state is JobState.CANCELLED


def test_a_waiting_job_without_running_parts_is_cancelled_at_once(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=PARTS))
    execute(whole, doorbell.rings.pop()[2], worker)
    assert cancel(job.id).state is JobState.CANCELLED
    with pytest.raises(Conflict):
        cancel(job.id)


def test_a_part_that_somebody_cancelled_ends_the_whole(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=2))
    execute(whole, doorbell.rings.pop()[2], worker)
    cancel(doorbell.rings[0][2])
    reconcile(doorbell, patience=timedelta(seconds=10))
    assert get_job(job.id).state is JobState.FAILED
    assert get_job(job.id).error.message == "part 1 of 2 is cancelled: on request"


def test_parts_are_listed_by_themselves_and_not_among_the_jobs(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=3))
    execute(whole, doorbell.rings.pop()[2], worker)

    def listed(parent_id=None):
        return list_jobs(state=None, kind=None, before=None, limit=10, parent_id=parent_id).jobs

    assert [one.id for one in listed()] == [job.id]
    assert {one.parent_id for one in listed(job.id)} == {job.id}
    assert len(listed(job.id)) == 3


def test_a_job_with_nothing_to_leave_to_parts_runs_again_at_once(kind, whole, worker, doorbell):
    job = submit(whole, Number(value=0))
    run_everything(doorbell, worker, kind, whole)
    assert get_job(job.id).result == {"value": 0}
