"""Huey: the row in the message, the result in a hash of Valkey until it is read, four threads.

`notify_result` is its way to wait for a result without asking again and again.
"""

from collections.abc import Callable, Sequence

from huey import RedisHuey  # type: ignore[import-untyped]

from benchmarks.golden import Values
from benchmarks.peers.shared import PATIENCE, PATIENCE_FOR_ALL, predict_row, redis_url

huey = RedisHuey("bench", url=redis_url(), notify_result=True)


@huey.task()  # type: ignore[untyped-decorator] # huey publishes no types
def predict(values: Values) -> float:
    """Predict one row."""
    return predict_row(values)


def ask(values: Values) -> float:
    """Enqueue one task and wait for its result."""
    return float(predict(values).get(blocking=True, timeout=PATIENCE))


def send_all(rows: Sequence[Values]) -> Callable[[], list[float]]:
    """Enqueue a task for each row, one after the other: there is no other way."""
    sent = predict.map(rows)
    return lambda: list(sent.get(blocking=True, timeout=PATIENCE_FOR_ALL))
