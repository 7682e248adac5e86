"""A rolling restart under load: nothing is lost, nothing is done twice, and a long job goes on where it was."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from backend.app import create_app
from backend.extensions import db, transaction
from backend.jobs.reconcile import reconcile
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL
from backend.jobs.submit import submit
from backend.jobs.tables import Job, JobAttempt, ModelPredictionLog
from backend.jobs.workers import present_workers
from backend.settings import Settings
from tests.integration.conftest import Valkey
from tests.integration.restless import LONG, SHORT, Work
from tests.integration.stack import Stack, wait_until
from workers.shutdown import FINISH_SECONDS

RESTLESS = "tests.integration.restless"
WORKERS = {"first": "threads", "second": "prefork"}
SHORTS = 300
BOUND = 15.0  # seconds from SIGTERM until supervisord kills (stopwaitsecs)


@pytest.fixture
def stack(tmp_path: Path, database_url: str, valkey: Valkey) -> Iterator[Stack]:
    """Two workers for the same queues, one of each pool, and an application here."""
    stack = Stack(tmp_path, database_url=database_url, broker_url=valkey.url)
    stack.migrate()
    settings = Settings(
        data_dir=tmp_path, database_url=database_url, broker_url=valkey.url, log_level="ERROR", _env_file=None
    )
    with create_app(settings).app_context():
        for name in WORKERS:
            start(stack, name)
        yield stack
        stack.stop()
        db.engine.dispose()


def start(stack: Stack, name: str) -> None:
    ready = log(stack, name).count("worker_ready")
    stack.start_worker(name, queues="interactive,batch,maintenance", pool=WORKERS[name], concurrency=2, app=RESTLESS)
    wait_until(lambda: log(stack, name).count("worker_ready") > ready, seconds=60, what=stack.tail(name))


def log(stack: Stack, name: str) -> str:
    file = stack.root / f"{name}.log"
    return file.read_text() if file.exists() else ""


def stop(stack: Stack, name: str) -> float:
    """Ask a worker to stop as a supervisor does, only its main process; return the seconds that it took."""
    process = stack.processes[name]
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(BOUND) == 0, stack.tail(name)()
    return time.monotonic() - started


def runs_in(job_id: UUID) -> str | None:
    """Return the worker whose attempt at the job runs."""
    running = select(JobAttempt.worker).where(JobAttempt.job_id == job_id, JobAttempt.outcome.is_(None))
    with transaction(read_only=True) as session:
        worker = session.scalar(running)
    return worker and worker.partition("@")[0]


def chunks_of(job_id: UUID) -> int:
    with transaction(read_only=True) as session:
        return len(session.scalars(select(ModelPredictionLog.id).where(ModelPredictionLog.job_id == job_id)).all())


def wait_until_all_ended(stack: Stack) -> None:
    unfinished = select(Job.id, Job.state).where(Job.state.not_in(FINAL))

    def left() -> list[object]:
        reconcile(current_doorbell(), patience=timedelta(seconds=1))
        with transaction(read_only=True) as session:
            return list(session.execute(unfinished))

    wait_until(lambda: not left(), seconds=60, what=lambda: str(left()))


def test_a_rolling_restart_under_load_loses_and_doubles_nothing_and_the_long_job_goes_on(stack: Stack):
    enough = stack.root / "enough"
    long = submit(LONG, Work(until=str(enough))).id
    wait_until(lambda: chunks_of(long) > 2, seconds=60)
    first = runs_in(long)
    assert first is not None
    shorts = [submit(SHORT, Work()).id for _ in range(SHORTS)]
    assert stop(stack, first) > FINISH_SECONDS - 0.5, "what runs may finish"
    (second,) = WORKERS.keys() - {first}
    wait_until(lambda: runs_in(long) == second, seconds=20, what=stack.tail(second))  # nothing else rings for it here
    start(stack, first)
    more = [submit(SHORT, Work()).id for _ in range(SHORTS)]
    stop(stack, second)
    wait_until(lambda: runs_in(long) == first, seconds=20, what=stack.tail(first))
    enough.touch()
    wait_until_all_ended(stack)

    with transaction(read_only=True) as session:
        jobs = {job.id: job for job in session.scalars(select(Job))}
        attempts = session.execute(select(JobAttempt.job_id, JobAttempt.outcome).order_by(JobAttempt.number)).all()
        effects = Counter(session.execute(select(ModelPredictionLog.job_id, ModelPredictionLog.model)).all())
    assert {job.state for job in jobs.values()} == {"succeeded"}
    assert len(jobs) == 1 + 2 * SHORTS
    assert set(effects.values()) == {1}, "no chunk and no short job took effect twice"
    assert len(effects) == jobs[long].result["chunks"] + 2 * SHORTS
    assert {jobs[job_id].attempt for job_id in (*shorts, *more)} == {1}
    outcomes = [outcome for job_id, outcome in attempts if job_id == long]
    assert outcomes == ["returned", "returned", "succeeded"]


def test_idle_workers_leave_in_time_and_are_no_longer_shown(stack: Stack):
    for name in WORKERS:
        stop(stack, name)
    assert present_workers() == []
