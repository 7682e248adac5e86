"""Celery alone, as its documentation teaches it: the row in the message, the result in Redis, nothing kept."""

from functools import cache

import lightgbm
import numpy as np
from celery import Celery

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings
from benchmarks.predict import model_name

settings = load_settings()
app = Celery("bare", broker=settings.celery_broker_url, backend=settings.celery_broker_url)
app.conf.task_default_queue = "bare"


@cache
def booster() -> lightgbm.Booster:
    """Return the model, loaded once."""
    weights = Catalogue(settings.models_dir).read(model_name()).weights
    return lightgbm.Booster(model_str=weights.decode())


@app.task(name="bare.predict")
def predict(values: list[float | None]) -> float:
    """Predict one row."""
    row = np.array([values], dtype=np.float64)
    return float(np.asarray(booster().predict(row, num_threads=settings.model_threads))[0])
