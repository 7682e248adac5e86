"""Sanguine's own clients for the bench's job kind."""

from collections.abc import Callable, Sequence

import numpy as np

from backend.app import create_app
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.waiting import wait_for_job
from backend.settings import load_settings
from benchmarks.client import post_all, post_and_wait
from benchmarks.golden import Values, artifact, golden_row
from benchmarks.predict import PREDICT, Row

PATIENCE = 60.0  # seconds for one job


def in_process() -> Callable[[], object]:
    """Return a call that submits a job and waits for it, as the API does, without HTTP."""
    app = create_app()
    row = Row(values=golden_row())

    def call() -> None:
        with app.app_context():
            job = wait_for_job(submit(PREDICT, row), seconds=PATIENCE)
        if job.state is not JobState.SUCCEEDED:
            raise RuntimeError(f"job {job.id} is {job.state}")

    return call


def over_http(port: int) -> Callable[[], object]:
    """Return a call that posts a job and lets the server wait for it."""
    path, body = str(PREDICT.path), {"values": golden_row()}
    return lambda: post_and_wait(port, path, body)


def send_all(port: int, rows: Sequence[Values]) -> Callable[[], list[float]]:
    """Post one bulk of jobs and return a call that waits for the results, in the order of the rows."""
    fetch = post_all(port, [{"kind": PREDICT.name, "request": {"values": row}} for row in rows])
    return lambda: [result["score"] for result in fetch()]


def calibrated(rows: Sequence[Values]) -> list[float]:
    """Return what Sanguine's model client says of the rows."""
    client = ModelClient(Catalogue(load_settings().models_dir))
    scores: list[float] = client.predict(artifact().manifest.name, np.array(rows, dtype=np.float64)).tolist()
    return scores
