"""What all peers share: the server, and the model, loaded once and called as LightGBM's documentation does."""

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np

from backend.settings import load_settings
from benchmarks.golden import Values, artifact

if TYPE_CHECKING:
    import lightgbm

PATIENCE = 60  # seconds for one job
PATIENCE_FOR_ALL = 300


def unix_url(broker_url: str) -> str:
    """Return kombu's URL of a Unix socket as redis-py writes it.

    Raises:
        ValueError: it is not one.
    """
    url = urlsplit(broker_url)
    if url.scheme != "redis+socket":
        raise ValueError(f"{url.scheme}: the benchmark's broker is a Unix socket, redis+socket://PATH?virtual_host=N")
    return f"unix://{url.path}?db={parse_qs(url.query)['virtual_host'][0]}"


def redis_url() -> str:
    """Return the benchmark's Valkey as redis-py wants it."""
    return unix_url(load_settings().celery_broker_url)


def predict_row(values: Values) -> float:
    """Predict one row."""
    row = np.array([values], dtype=np.float64)
    return float(np.asarray(_booster().predict(row, num_threads=load_settings().model_threads))[0])


@cache
def _booster() -> "lightgbm.Booster":
    import lightgbm  # noqa: PLC0415 - two seconds that clients need not wait for

    return lightgbm.Booster(model_str=artifact().weights.decode())
