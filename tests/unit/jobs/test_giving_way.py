"""Long work in chunks makes room for urgent jobs of its queue, goes on afterwards, and pays no attempt for it."""

import pytest

from backend.jobs import context as context_module
from backend.jobs.context import JobContext
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState, Priority
from backend.jobs.submit import submit
from backend.jobs.terms import Terms
from backend.jobs.views import get_job, get_job_detail
from tests.unit.conftest import Behaviour, Doubled, Number, SilentDoorbell

CHUNKS = 3
URGENT = Terms(priority=Priority.URGENT)


@pytest.fixture(autouse=True)
def always_asks(monkeypatch):
    monkeypatch.setattr(context_module, "GIVE_WAY_EVERY", 0.0)


@pytest.fixture
def chunks(behaviour: Behaviour) -> list[int]:
    """The chunks that were written, in order."""
    written: list[int] = []

    def act(request: Number, context: JobContext) -> Doubled:
        for chunk in range((context.checkpoint or {"done": 0})["done"], CHUNKS):
            with context.commit({"done": chunk + 1}):
                written.append(chunk)
        return Doubled(value=request.value)

    behaviour.act = act
    return written


def test_a_long_job_leaves_its_worker_to_an_urgent_one_and_goes_on_afterwards(
    kind: JobKind, worker: Worker, doorbell: SilentDoorbell, chunks: list[int]
):
    long = submit(kind, Number())
    urgent = submit(kind, Number(), terms=URGENT)
    execute(kind, long.id, worker)
    given_way = get_job_detail(long.id)
    assert (given_way.state, chunks) == (JobState.QUEUED, [0]), "the chunk that was done is kept"
    assert [attempt.outcome for attempt in given_way.attempts] == ["returned"]
    assert given_way.max_attempts == kind.max_attempts + 1, "it costs no attempt"
    assert doorbell.rings[-1][2] == long.id
    execute(kind, urgent.id, worker)
    execute(kind, long.id, worker)
    assert [get_job(job.id).state for job in (long, urgent)] == [JobState.SUCCEEDED] * 2
    assert chunks == [0, 0, 1, 2, 1, 2], "the urgent one did all of its own in between"


def test_an_urgent_job_gives_way_to_nobody(kind: JobKind, worker: Worker, doorbell, chunks: list[int]):
    first, _second = submit(kind, Number(), terms=URGENT), submit(kind, Number(), terms=URGENT)
    execute(kind, first.id, worker)
    assert get_job(first.id).state is JobState.SUCCEEDED


def test_a_job_that_is_not_urgent_is_no_reason_to_give_way(kind: JobKind, worker: Worker, doorbell, chunks: list[int]):
    low, _normal = submit(kind, Number(), terms=Terms(priority=Priority.LOW)), submit(kind, Number())
    execute(kind, low.id, worker)
    assert get_job(low.id).state is JobState.SUCCEEDED


def test_an_urgent_job_of_another_queue_is_no_reason_to_give_way(
    kind: JobKind, worker: Worker, doorbell, chunks: list[int]
):
    fields = {name: getattr(kind, name) for name in kind.__dataclass_fields__}
    elsewhere = JobKind(**fields | {"name": "test.elsewhere", "queue": "batch"})
    long, _urgent = submit(kind, Number()), submit(elsewhere, Number(), terms=URGENT)
    execute(kind, long.id, worker)
    assert get_job(long.id).state is JobState.SUCCEEDED


def test_an_attempt_works_for_a_while_before_it_asks(
    kind: JobKind, worker: Worker, doorbell, chunks: list[int], monkeypatch
):
    monkeypatch.setattr(context_module, "GIVE_WAY_EVERY", 60.0)
    long, _urgent = submit(kind, Number()), submit(kind, Number(), terms=URGENT)
    execute(kind, long.id, worker)
    assert get_job(long.id).state is JobState.SUCCEEDED
