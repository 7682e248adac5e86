"""A worker that receives nothing any more is noticed, ends, and serves when it is started again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.app import create_app
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.views import get_job
from backend.settings import Settings
from tests.integration.conftest import Valkey
from tests.integration.proxy import Proxy
from tests.integration.restless import HUNG, LONG, SHORT, Work
from tests.integration.stack import Stack, wait_until
from workers.watchdog import EXIT_STATUS, PATIENCE

RESTLESS = "tests.integration.restless"
BOUND = PATIENCE + 4.0  # seconds; the watchdog of these tests looks every second


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
    settings = Settings(data_dir=tmp_path, database_url=database, broker_url=valkey.url, log_level="ERROR", _env_file=None)
    with create_app(settings).app_context():
        yield stack
        stack.stop()


def start(stack: Stack, pool: str, *, queues: str = "interactive,batch,maintenance") -> Callable[[], None]:
    def started() -> None:
        stack.start_worker("worker", queues=queues, pool=pool, concurrency=1, app=RESTLESS)

    started()
    wait_until(lambda: "worker_ready" in log(stack), seconds=40, what=stack.tail("worker"))
    return started


def log(stack: Stack) -> str:
    return (stack.root / "worker.log").read_text()


def succeeds(kind: JobKind, request: Work, *, seconds: float = 20) -> None:
    job_id = submit(kind, request).id
    wait_until(lambda: get_job(job_id).state is JobState.SUCCEEDED, seconds=seconds, what=lambda: str(get_job(job_id)))


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_whose_connections_went_silent_ends_with_status_70_and_serves_after_its_restart(
    served: Stack, proxy: Proxy, pool: str
):
    start_again = start(served, pool)
    succeeds(SHORT, Work())
    proxy.freeze()
    waiting = submit(SHORT, Work()).id
    assert served.processes["worker"].wait(BOUND) == EXIT_STATUS == 70
    assert "worker_deaf" in log(served)
    start_again()
    wait_until(lambda: get_job(waiting).state is JobState.SUCCEEDED, seconds=30, what=served.tail("worker"))
