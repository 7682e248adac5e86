"""Celery alone: the row in the message, the result in Valkey, nothing kept."""

from collections.abc import Callable, Sequence

from celery import Celery, group

from backend.settings import load_settings
from benchmarks.golden import Values
from benchmarks.peers.shared import PATIENCE, PATIENCE_FOR_ALL, predict_row

_url = load_settings().celery_broker_url
app = Celery("bare", broker=_url, backend=_url)
app.conf.task_default_queue = "bare"


@app.task(name="bare.predict")
def predict(values: Values) -> float:
    """Predict one row."""
    return predict_row(values)


def ask(values: Values) -> float:
    """Send one task and wait for its result."""
    return float(predict.delay(values).get(timeout=PATIENCE))


def send_all(rows: Sequence[Values]) -> Callable[[], list[float]]:
    """Send a group of tasks, through one connection."""
    sent = group(predict.s(values) for values in rows).apply_async()
    return lambda: list(sent.get(timeout=PATIENCE_FOR_ALL))
