"""Many clients in one process: `python -m benchmarks.load SYSTEM SECONDS CLIENTS …`, one JSON object per CLIENTS."""

import json
import sys
from collections.abc import Callable

from backend.app import create_app
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.views import wait_for_job
from benchmarks import bare
from benchmarks.client import post_and_wait
from benchmarks.measure import measure
from benchmarks.predict import PREDICT, Row, golden_row

PATIENCE = 60.0  # seconds for one job


def bare_celery() -> Callable[[], object]:
    """Return a call that sends a task and waits for its result."""
    values = golden_row()
    return lambda: bare.predict.delay(values).get(timeout=PATIENCE)


def in_process() -> Callable[[], object]:
    """Return a call that submits a job and waits for it, as the API does, without HTTP."""
    app = create_app()
    row = Row(values=golden_row())

    def call() -> None:
        with app.app_context():
            job = wait_for_job(submit(PREDICT, row).id, seconds=PATIENCE)
        if job.state is not JobState.SUCCEEDED:
            raise RuntimeError(f"job {job.id} is {job.state}")

    return call


def over_http(port: int) -> Callable[[], object]:
    """Return a call that posts a job and lets the server wait for it."""
    body = {"values": golden_row()}
    return lambda: post_and_wait(port, PREDICT.path, body)


def main(system: str, seconds: float, clients: list[int]) -> None:
    """Measure one system with each number of clients."""
    if system == "bare":
        call = bare_celery()
    elif system == "in-process":
        call = in_process()
    else:
        call = over_http(int(system))
    for count in clients:
        sample = measure(call, clients=count, seconds=seconds)
        figures = {"p50": sample.percentile(50), "p99": sample.percentile(99), "per_second": sample.per_second}
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), [int(count) for count in sys.argv[3:]])
