"""One row, one prediction: the smallest job there is, as a job kind of a domain of its own."""

from functools import cache

import numpy as np
from flask import Flask
from pydantic import BaseModel, ConfigDict

from backend.app import create_app
from backend.domains.catalog import domains, model_names
from backend.domains.domain import Domain
from backend.inference.catalogue import Catalogue
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from backend.settings import load_settings


class Row(BaseModel):
    """One row for the model; null is a missing value."""

    model_config = ConfigDict(extra="forbid")

    values: list[float | None]


class Score(BaseModel):
    """What the model says."""

    score: float


@cache
def model_name() -> str:
    """Return the model that is asked, the first of the blood service's, all LightGBM."""
    return model_names()[0]


def golden_row() -> list[float | None]:
    """Return the row that is asked about: the first golden row of the model."""
    return list(Catalogue(load_settings().models_dir).read(model_name()).golden.rows[0])


def predict(row: Row, context: JobContext) -> Score:
    """Predict one row."""
    outputs = context.models.predict(model_name(), np.array([row.values], dtype=np.float64))
    return Score(score=float(outputs[0]))


PREDICT = JobKind(
    name="bench.predict", path="/bench", summary="Predict one row", request=Row, result=Score, run=predict, timeout=10
)
DOMAIN = Domain(name="bench", tables="benchmarks.predict", job_kinds=(PREDICT,))


def create_bench_app() -> Flask:
    """Return the application with the bench's domain beside the others, for gunicorn."""
    return create_app(domains=(*domains(), DOMAIN))
