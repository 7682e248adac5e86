"""Many small jobs at once: one call, one commit; what does not fit ends by itself, with the error that is its own."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue
from sqlalchemy import event, select, update

from backend.clock import utc_now
from backend.errors import Cancelled, Expired, HandedBack, NotServed
from backend.extensions import db, transaction
from backend.inference.tables import ModelArtifact
from backend.jobs.context import JobContext
from backend.jobs.execute import execute
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import Job, JobAttempt
from backend.jobs.terms import Terms
from backend.jobs.views import get_job
from tests.unit.conftest import Behaviour, Doubled, Number

MANY = 5


def an_artifact(name: str) -> ModelArtifact:
    return ModelArtifact(name=name, version="1", runtime="r", sha256="0" * 64, metrics={}, first_loaded_at=utc_now())


def artifacts():
    with transaction(read_only=True) as session:
        return sorted(session.scalars(select(ModelArtifact.name)))


def outcomes(job_id):
    with transaction(read_only=True) as session:
        attempts = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.number)
        return [(one.number, one.outcome, one.finished_at is not None) for one in session.scalars(attempts)]


def set_columns(job_id, **values):
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


class Together:
    """What `run_many` of `kind` does; tests replace `act`. `sizes` remembers how many it was given."""

    kind: JobKind
    alone: Behaviour

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def act(self, requests, _contexts):
        return [Doubled(value=2 * request.value) for request in requests]

    def run(self, requests, contexts):
        self.sizes.append(len(requests))
        assert len({id(context.models) for context in contexts}) == 1
        return self.act(requests, contexts)


@pytest.fixture
def together(kind, behaviour) -> Together:
    together = Together()
    together.kind = replace(kind, claims=MANY, run_many=together.run)
    together.alone = behaviour
    return together


@pytest.fixture
def many(together):
    return together.kind


@pytest.fixture
def ids(many, doorbell):
    return [submit(many, Number(value=value)).id for value in range(MANY)]


def states(ids):
    return [get_job(job_id).state.value for job_id in ids]


def results(ids):
    return [get_job(job_id).result for job_id in ids]


def succeeded_alone(ids, *alone: int, behaviour):
    assert states(ids) == ["succeeded"] * MANY
    assert results(ids) == [{"value": 2 * value} for value in range(MANY)]
    assert behaviour.calls == len(alone)


def test_many_jobs_are_one_call_and_one_transaction_that_writes(many, ids, worker, together, behaviour):
    committed = []
    event.listen(db.engine, "commit", committed.append)
    assert execute(many, ids[2], worker) == MANY
    assert len(committed) == 2, "the claim and the results"
    succeeded_alone(ids, behaviour=behaviour)
    assert together.sizes == [MANY]
    assert all(outcomes(job_id) == [(1, "succeeded", True)] for job_id in ids)
    job = get_job(ids[0])
    assert (job.progress, job.error, job.finished_at is not None) == (1.0, None, True)


def test_one_job_alone_is_run_alone(many, doorbell, worker, together, behaviour):
    job = submit(many, Number(value=3))
    execute(many, job.id, worker)
    assert get_job(job.id).result == {"value": 6}
    assert (together.sizes, behaviour.calls) == ([], 1)


def test_a_request_that_does_not_fit_fails_by_itself(many, ids, worker, together):
    set_columns(ids[1], request={"value": "Asha Menon"})
    execute(many, ids[0], worker)
    assert together.sizes == [MANY - 1]
    assert states(ids) == ["succeeded", "failed", "succeeded", "succeeded", "succeeded"]
    assert get_job(ids[1]).error.message == "the stored request does not fit the schema of its kind"


def test_a_job_that_the_call_does_not_answer_is_run_alone(many, ids, worker, together, behaviour):
    together.act = lambda requests, _: [None if one.value == 2 else Doubled(value=2 * one.value) for one in requests]
    execute(many, ids[0], worker)
    succeeded_alone(ids, 2, behaviour=behaviour)


@pytest.mark.parametrize("answers", [0, MANY - 1, MANY + 1])
def test_a_wrong_number_of_answers_is_none(ids, worker, together, behaviour, answers):
    together.act = lambda *_: [Doubled(value=-1)] * answers
    execute(together.kind, ids[0], worker)
    succeeded_alone(ids, *range(MANY), behaviour=behaviour)


def test_when_the_call_raises_each_ends_with_the_error_that_is_its_own(many, ids, worker, together, behaviour):
    def act(requests, contexts):
        contexts[0].store(an_artifact("of the call that raised"))
        raise NotServed("one of these cannot be served")

    def alone(request, context):
        if request.value == 3:
            raise NotServed("this one cannot be served")
        return Doubled(value=request.value)

    together.act, behaviour.act = act, alone
    execute(many, ids[0], worker)
    assert states(ids) == ["succeeded", "succeeded", "succeeded", "failed", "succeeded"]
    assert get_job(ids[3]).error.message == "this one cannot be served"
    assert artifacts() == [], "nothing of the call that raised is stored"


def test_what_jobs_store_commits_with_their_results(many, ids, worker, together):
    def act(requests, contexts):
        for request, context in zip(requests, contexts, strict=True):
            context.store(an_artifact(f"m{request.value}"))
        return [Doubled(value=0)] * len(requests)

    together.act = act
    execute(many, ids[0], worker)
    assert artifacts() == [f"m{value}" for value in range(MANY)]


def test_one_that_lost_its_lease_stores_nothing_and_the_others_do(many, ids, worker, together):
    def act(requests, contexts):
        for request, context in zip(requests, contexts, strict=True):
            context.store(an_artifact(f"m{request.value}"))
        set_columns(ids[1], attempt=2)  # somebody else has it
        set_columns(ids[2], state=JobState.QUEUED)
        return [Doubled(value=1)] * len(requests)

    together.act = act
    execute(many, ids[0], worker)
    assert states(ids) == ["succeeded", "running", "queued", "succeeded", "succeeded"]
    assert artifacts() == ["m0", "m3", "m4"]
    assert outcomes(ids[1]) == [(1, None, False)]


def test_when_all_leases_are_lost_nothing_is_stored(many, ids, worker, together):
    def act(requests, contexts):
        contexts[0].store(an_artifact("m"))
        for job_id in ids:
            set_columns(job_id, attempt=2)
        return [Doubled(value=1)] * len(requests)

    together.act = act
    execute(many, ids[0], worker)
    assert states(ids) == ["running"] * MANY
    assert artifacts() == []


@pytest.mark.parametrize(
    ("reason", "state"),
    [(Cancelled("on request"), "cancelled"), (Expired("too late"), "expired"), (HandedBack("stops"), "queued")],
)
def test_one_that_must_end_ends_so_without_being_run_again(ids, worker, together, reason, state):
    def act(requests, contexts):
        contexts[[one.value for one in requests].index(2)].end(reason)
        return [Doubled(value=2 * one.value) for one in requests]

    together.act = act
    execute(together.kind, ids[0], worker)
    assert states(ids) == ["succeeded", "succeeded", state, "succeeded", "succeeded"]
    assert together.alone.calls == 0


def test_one_cancelled_meanwhile_is_cancelled_at_the_next_beat(many, ids, worker, together):
    def act(requests, contexts):
        cancel(ids[4])
        worker.leases.beat()
        return [Doubled(value=0)] * len(requests)

    together.act = act
    execute(many, ids[0], worker)
    assert states(ids) == ["succeeded"] * 4 + ["cancelled"]
    assert get_job(ids[4]).result is None


def test_one_whose_time_has_passed_expires_and_the_others_succeed(ids, many, worker, together, monkeypatch):
    late = submit(many, Number(value=9), terms=Terms(finish_by=utc_now() + timedelta(hours=1))).id

    def act(requests, contexts):
        after = utc_now() + timedelta(hours=2)
        monkeypatch.setattr("backend.jobs.context.utc_now", lambda: after)
        return [Doubled(value=0)] * len(requests)

    together.act = act
    execute(many, late, worker)
    assert get_job(late).state is JobState.EXPIRED
    assert states(ids).count("succeeded") == MANY - 1
    assert together.alone.calls == 0


def test_one_whose_rows_cannot_be_stored_fails_by_itself(many, ids, worker, together, behaviour):
    def store(request, context: JobContext):
        if request.value in (1, 2):
            context.store(an_artifact(None))
        return Doubled(value=2 * request.value)

    together.act = lambda requests, contexts: [store(*one) for one in zip(requests, contexts, strict=True)]
    behaviour.act = store
    execute(many, ids[0], worker)
    assert states(ids) == ["succeeded", "failed", "failed", "succeeded", "succeeded"]
    assert get_job(ids[1]).error.code == "internal_error"


class Anything(BaseModel):
    value: JsonValue


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abä", max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_results_are_stored_as_they_are(many, doorbell, worker, value):
    kept = replace(many, result=Anything, run_many=lambda requests, _: [Anything(value=value)] * len(requests))
    first, second = submit(kept, Number()).id, submit(kept, Number()).id
    assert execute(kept, first, worker) == 2
    assert results([first, second]) == [{"value": value}] * 2
