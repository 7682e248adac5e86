"""One row, one prediction: the smallest job there is, as a job kind of a domain of its own."""

from collections.abc import Sequence

import numpy as np
from flask import Flask
from pydantic import BaseModel, ConfigDict

from backend.app import create_app
from backend.domains.catalog import domains
from backend.domains.domain import Domain
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from benchmarks.golden import artifact


class Row(BaseModel):
    """One row for the model; null is a missing value."""

    model_config = ConfigDict(extra="forbid")

    values: list[float | None]


class Score(BaseModel):
    """What the model says."""

    score: float


def predict(row: Row, context: JobContext) -> Score:
    """Predict one row."""
    return predict_many([row], [context])[0]


def predict_many(rows: Sequence[Row], contexts: Sequence[JobContext]) -> list[Score]:
    """Predict the rows of several jobs in one call of the model."""
    matrix = np.array([row.values for row in rows], dtype=np.float64)
    outputs = contexts[0].models.predict(artifact().manifest.name, matrix)
    return [Score(score=score) for score in outputs.tolist()]


PREDICT = JobKind(
    name="bench.predict",
    path="/bench",
    summary="Predict one row",
    request=Row,
    result=Score,
    run=predict,
    run_many=predict_many,
    claims=64,
    timeout=10,
)
DOMAIN = Domain(name="bench", tables="benchmarks.predict", job_kinds=(PREDICT,))


def create_bench_app() -> Flask:
    """Return the application with the bench's domain beside the others, for gunicorn."""
    return create_app(domains=(*domains(), DOMAIN))
