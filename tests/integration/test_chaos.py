"""A short run of `make chaos`: a whole installation under load, one fault of each kind that is quickly over."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.jobs.states import AttemptOutcome, JobState
from tests.chaos.checks import MUST_BE_NONE, Run
from tests.chaos.evidence import Evidence, JobRow
from tests.chaos.load import Submission
from tests.chaos.orders import Order
from tests.chaos.plan import FaultKind, draw_plan
from tests.chaos.run import Options, carry_out, disk_can_fill

SEED = 7
JOBS = 300
QUICK = (  # those after which at most one program has to start again
    FaultKind.INTERACTIVE_KILLED,
    FaultKind.WORKER_ASLEEP,
    FaultKind.API_KILLED_BEFORE_RING,
    FaultKind.BROKER_WIPED,
    FaultKind.BROKER_CUT,
    FaultKind.DATABASE_CRASHED,
    FaultKind.COMMITS_UNANSWERED,
    FaultKind.DISK_FULL,
)
RARE_EVERY = 600  # one long job and one that kills a process of the batch worker; killing the others takes long
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def left_behind(folder: Path) -> list[str]:
    """Return the processes that were started for a run in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:  # it ended, or is another user's
            continue
        if f"SANGUINE_DATA_DIR={folder}".encode() in environment:
            found.append((process / "cmdline").read_text())
    return found


def test_every_promise_holds_under_one_fault_of_each_quick_kind(tmp_path: Path):
    kinds = disk_can_fill(QUICK)
    plan = draw_plan(SEED, len(kinds), kinds=kinds, after=(0.3, 0.7), brief=True)
    said: list[str] = []
    report = carry_out(
        Options(seed=SEED, jobs=JOBS, plan=plan, clients=4, rare_every=RARE_EVERY), tmp_path, said.append
    )
    assert not report.broken, "\n".join([*said, report.markdown()])
    assert report.counts["jobs acknowledged"] == JOBS
    assert report.counts["faults"] == len(kinds)
    assert report.counts["dead"] == 1, "the poison, and nothing else"
    assert left_behind(tmp_path) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_the_same_seed_plans_the_same_faults_and_every_kind_comes_before_any_comes_again():
    plan = draw_plan(SEED, 2 * len(FaultKind), after=(1.0, 2.0))
    assert plan == draw_plan(SEED, 2 * len(FaultKind), after=(1.0, 2.0))
    assert plan != draw_plan(SEED + 1, 2 * len(FaultKind), after=(1.0, 2.0))
    assert {fault.kind for fault in plan[: len(FaultKind)]} == set(FaultKind)


def finished(state: JobState, *outcomes: AttemptOutcome, kind: str = "chaos.effect", chunks: int = 0) -> Run:
    """What is seen of a single job that was acknowledged."""
    job_id = uuid4()
    attempts = len(outcomes)
    job = JobRow(job_id, kind, state, attempts, 3, None, NOW, NOW, chunks)
    evidence = Evidence(jobs={job_id: job})
    evidence.attempts[job_id] = [outcome.value for outcome in outcomes]
    order = Order(1, kind, "/chaos/effect", b"", {"Idempotency-Key": "one"})
    submission = Submission(order, job_ids={job_id}, posts=1, acknowledged_at=NOW)
    return Run([submission], evidence)


def the_job(run: Run) -> UUID:
    return next(iter(run.acknowledged))


def succeeded(*, effects: tuple[int, ...] = (2,)) -> Run:
    run = finished(JobState.SUCCEEDED, AttemptOutcome.LOST, AttemptOutcome.SUCCEEDED)
    run.evidence.effects[the_job(run)] = list(effects)
    return run


def vanished() -> Run:
    run = succeeded()
    run.evidence.jobs.clear()
    run.evidence.effects.clear()
    return run


def told_otherwise() -> Run:
    run = succeeded()
    run.submissions[0].told = JobState.CANCELLED
    return run


def answered_with_two_jobs() -> Run:
    run = succeeded()
    run.submissions[0].job_ids.add(uuid4())
    return run


def unacknowledged() -> Run:
    return Run([], succeeded().evidence)


def with_a_chunk_twice() -> Run:
    run = finished(JobState.CANCELLED, AttemptOutcome.CANCELLED, kind="chaos.chunks", chunks=1)
    run.evidence.chunks[the_job(run), 0] = 2
    run.submissions[0].cancel_asked = True
    return run


def without_its_last_chunk() -> Run:
    run = finished(JobState.SUCCEEDED, AttemptOutcome.SUCCEEDED, kind="chaos.chunks", chunks=2)
    run.evidence.chunks[the_job(run), 0] = 1
    run.evidence.effects[the_job(run)] = [1]
    return run


def failed_with_effect() -> Run:
    run = finished(JobState.DEAD, AttemptOutcome.LOST, kind="chaos.poison")
    run.evidence.effects[the_job(run)] = [1]
    return run


LOST = (AttemptOutcome.LOST,)


def test_a_run_in_which_every_promise_held_breaks_no_check():
    assert {name for name, check in MUST_BE_NONE.items() if check(succeeded())} == set()


@pytest.mark.parametrize(
    ("what", "run"),
    [
        ("lost (", vanished()),
        ("lost (", finished(JobState.QUEUED)),
        ("effects applied twice", succeeded(effects=(2, 2))),
        ("effects applied twice", with_a_chunk_twice()),
        ("succeeded without effect", succeeded(effects=())),
        ("succeeded without effect", without_its_last_chunk()),
        (
            "succeeded without effect",
            finished(JobState.SUCCEEDED, AttemptOutcome.SUCCEEDED, kind="platform.predict_file"),
        ),
        ("effect without success", failed_with_effect()),
        ("effect of another attempt", succeeded(effects=(1,))),
        ("more attempts than allowed", finished(JobState.DEAD, *LOST * 4, kind="chaos.poison")),
        ("attempts that do not add up", finished(JobState.DEAD, AttemptOutcome.SUCCEEDED, kind="chaos.poison")),
        ("failed, with nothing wrong", finished(JobState.FAILED, AttemptOutcome.FAILED)),
        ("dead, and no poison", finished(JobState.DEAD, *LOST * 3)),
        ("poison that did not end dead", finished(JobState.FAILED, AttemptOutcome.FAILED, kind="chaos.poison")),
        ("cancelled, and nobody asked", finished(JobState.CANCELLED)),
        ("expired, and there was no deadline", finished(JobState.EXPIRED)),
        ("in another state", told_otherwise()),
        ("answered with another job", answered_with_two_jobs()),
        ("stored and never acknowledged", unacknowledged()),
    ],
)
def test_a_broken_promise_is_seen(what: str, run: Run):
    broken = [name for name, check in MUST_BE_NONE.items() if check(run)]
    assert [name for name in broken if name.startswith(what)], broken
