"""A worker that receives nothing any more is noticed, ends, and serves when it is started again."""

import contextlib
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from backend.app import create_app
from backend.jobs.reconcile import reconcile
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL, JobState
from backend.jobs.submit import submit
from backend.jobs.views import get_job
from backend.settings import Settings
from tests.integration.conftest import Valkey
from tests.integration.proxy import Proxy
from tests.integration.restless import HUNG, LONG, LOOK_EVERY, SHORT, Work
from tests.integration.stack import Stack, wait_until
from workers.watchdog import EXIT_STATUS, LEAVE_SECONDS, PATIENCE

RESTLESS = "tests.integration.restless"
BOUND = (PATIENCE + 1) * LOOK_EVERY + 4.0  # seconds


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", valkey.port)) as proxy:
        yield proxy


@pytest.fixture
def served(tmp_path: Path, valkey: Valkey, proxy: Proxy) -> Iterator[Stack]:
    """Workers behind the proxy, and an application here that rings at the broker itself."""
    database = f"sqlite:///{tmp_path / 'test.sqlite'}"
    stack = Stack(tmp_path, database_url=database, broker_url=f"redis://127.0.0.1:{proxy.port}/0")
    stack.migrate()
    settings = Settings(
        data_dir=tmp_path, database_url=database, broker_url=valkey.url, log_level="ERROR", _env_file=None
    )
    with create_app(settings).app_context():
        yield stack
        stack.stop()


def start(stack: Stack, pool: str) -> None:
    """Start a worker of one place for all queues, and wait until it is ready."""
    ready = log(stack).count("worker_ready")
    stack.start_worker("worker", queues="interactive,batch,maintenance", pool=pool, concurrency=1, app=RESTLESS)
    wait_until(lambda: log(stack).count("worker_ready") > ready, seconds=60, what=stack.tail("worker"))


def log(stack: Stack) -> str:
    file = stack.root / "worker.log"
    return file.read_text() if file.exists() else ""


def succeeds(job_id: UUID, *, seconds: float = 30) -> None:
    """Wait for a job's success; what beat would ask the workers for is done here."""

    def ended() -> bool:
        reconcile(current_doorbell(), patience=timedelta(seconds=1))
        return get_job(job_id).state in FINAL

    wait_until(ended, seconds=seconds, what=lambda: str(get_job(job_id)))
    assert get_job(job_id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_whose_connections_went_silent_ends_with_status_70_and_serves_when_it_is_started_again(
    served: Stack, proxy: Proxy, pool: str
):
    start(served, pool)
    succeeds(submit(SHORT, Work()).id)
    time.sleep(LOOK_EVERY)  # the worker sees the end of the job as well: it is idle
    proxy.freeze()
    waiting = submit(SHORT, Work()).id
    assert served.processes["worker"].wait(BOUND) == EXIT_STATUS == 70
    assert "worker_deaf" in log(served)
    assert not processes_of_group(served.processes["worker"].pid), "no child stays behind"
    start(served, pool)
    succeeds(waiting)


def test_a_worker_that_is_busy_or_slept_or_has_no_broker_is_not_ended(served: Stack, valkey: Valkey):
    start(served, "prefork")
    succeeds(submit(LONG, Work(deaf_seconds=BOUND)).id)
    served.signal("worker", signal.SIGSTOP)
    time.sleep(BOUND)
    served.signal("worker", signal.SIGCONT)
    succeeds(submit(SHORT, Work()).id)
    valkey.stop()
    time.sleep(BOUND)
    assert served.processes["worker"].poll() is None
    assert "worker_deaf" not in log(served)


def test_a_thread_that_does_not_come_back_ends_its_worker(served: Stack):
    start(served, "threads")
    submit(HUNG, Work(deaf_seconds=120))
    wait_until(lambda: "worker_stuck" in log(served), seconds=HUNG.timeout + BOUND + 5, what=served.tail("worker"))
    assert served.processes["worker"].wait(LEAVE_SECONDS + 2) == EXIT_STATUS


def processes_of_group(group: int) -> list[int]:
    """Those that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found
