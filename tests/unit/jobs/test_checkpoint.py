"""Long work in chunks: each chunk commits with how far the attempt got, and only while the attempt owns the job."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from backend.clock import utc_now
from backend.errors import Cancelled, LeaseLost, Unavailable
from backend.extensions import transaction
from backend.inference.tables import ModelArtifact
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.reconcile import reconcile
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.tables import Job
from backend.jobs.views import get_job
from tests.unit.conftest import LEASE, Behaviour, Doubled, Number


def write_row(session, version: str) -> None:
    session.execute(
        insert(ModelArtifact),
        {"name": "m", "version": version, "runtime": "r", "sha256": version * 64, "metrics": {}}
        | {"first_loaded_at": utc_now()},
    )


def written() -> list[str]:
    with transaction(read_only=True) as session:
        return list(session.scalars(select(ModelArtifact.version).order_by(ModelArtifact.version)))


def checkpoint_of(job_id):
    with transaction(read_only=True) as session:
        return session.scalar(select(Job.checkpoint).where(Job.id == job_id))


def let_the_pause_end(job_id) -> None:
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(available_at=utc_now()))


def context_of(held, worker: Worker) -> JobContext:
    models = RecordingModels(worker.models)
    return JobContext(job_id=held.job_id, attempt=held.attempt, checkpoint=held.checkpoint, models=models)


def test_a_later_attempt_goes_on_where_the_earlier_one_committed(kind: JobKind, worker, doorbell, behaviour: Behaviour):
    begun_with = []

    def act(_request, context: JobContext):
        begun_with.append(context.checkpoint)
        done = (context.checkpoint or {"done": 0})["done"]
        for step in range(done, 4):
            if behaviour.calls == 1 and step == 2:
                raise Unavailable("the database went away")
            with context.commit({"done": step + 1}) as session:
                write_row(session, str(step))
        return Doubled(value=4)

    behaviour.act = act
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    assert (written(), checkpoint_of(job.id)) == (["0", "1"], {"done": 2})
    let_the_pause_end(job.id)
    execute(kind, job.id, worker)
    assert begun_with == [None, {"done": 2}]
    assert written() == ["0", "1", "2", "3"], "each chunk once"
    assert get_job(job.id).state is JobState.SUCCEEDED
    assert checkpoint_of(job.id) is None, "of no use to anybody any more"


def test_a_chunk_that_fails_leaves_neither_its_rows_nor_its_checkpoint(kind: JobKind, worker, doorbell):
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    context = context_of(held, worker)

    def fail_in_the_middle() -> None:
        with context.commit({"done": 1}) as session:
            write_row(session, "0")
            raise KeyError("in the middle of a chunk")

    with pytest.raises(KeyError):
        fail_in_the_middle()
    assert (written(), checkpoint_of(job.id), context.checkpoint) == ([], None, None)


def test_an_attempt_that_lost_its_lease_commits_no_chunk(kind: JobKind, worker, doorbell):
    job = submit(kind, Number())
    (late,) = claim(kind, job.id, worker="w1", lease=timedelta(seconds=-1))
    reconcile(doorbell, patience=timedelta(seconds=10))
    (fresh,) = claim(kind, job.id, worker="w2", lease=LEASE)

    def commit(held, version: str) -> None:
        with context_of(held, worker).commit({"by": version}) as session:
            write_row(session, version)

    with pytest.raises(LeaseLost):
        commit(late, "1")
    commit(fresh, "2")
    assert (written(), checkpoint_of(job.id)) == (["2"], {"by": "2"})


def test_a_cancelled_attempt_commits_no_further_chunk(kind: JobKind, worker, doorbell):
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    context = context_of(held, worker)
    context.end(Cancelled("cancelled on request"))
    with pytest.raises(Cancelled), context.commit({"done": 1}) as session:
        write_row(session, "0")
    assert written() == []
