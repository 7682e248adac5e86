"""Dramatiq: the row in the message, the result in a list of Valkey for ten minutes, one process with four threads."""

from collections.abc import Callable, Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.golden import Values
from benchmarks.peers.shared import PATIENCE, PATIENCE_FOR_ALL, predict_row, redis_url

broker = RedisBroker(url=redis_url())  # type: ignore[no-untyped-call] # some of dramatiq has no types
broker.add_middleware(Results(backend=RedisBackend(url=redis_url())))  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def predict(values: Values) -> float:
    """Predict one row."""
    return predict_row(values)


def ask(values: Values) -> float:
    """Send one message and wait for its result."""
    return float(predict.send(values).get_result(block=True, timeout=PATIENCE * 1_000))


def send_all(rows: Sequence[Values]) -> Callable[[], list[float]]:
    """Send a group of messages."""
    sent = dramatiq.group(predict.message(values) for values in rows).run()  # type: ignore[no-untyped-call]
    return lambda: list(sent.get_results(block=True, timeout=PATIENCE_FOR_ALL * 1_000))
