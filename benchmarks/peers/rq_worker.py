"""RQ: the row in the job, the result in a stream of Valkey, both for some minutes.

Its documentation asks for SimpleWorker, which does not fork for each job, where jobs take a few milliseconds; such a
worker is one process with one job at a time, so there is one for each core.
"""

from collections.abc import Callable, Sequence
from typing import cast

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.results import Result

from benchmarks.golden import Values
from benchmarks.peers.shared import PATIENCE, PATIENCE_FOR_ALL, predict_row, redis_url

REDIS_URL = redis_url()  # `rq worker-pool --config` reads it
queue = Queue("rq", connection=Redis.from_url(REDIS_URL))


def predict(values: Values) -> float:
    """Predict one row."""
    return predict_row(values)


def ask(values: Values) -> float:
    """Enqueue one job and wait for its result."""
    return _result(queue.enqueue(predict, values), patience=PATIENCE)


def send_all(rows: Sequence[Values]) -> Callable[[], list[float]]:
    """Enqueue many jobs in one pipeline."""
    jobs = queue.enqueue_many([Queue.prepare_data(predict, (values,)) for values in rows])
    return lambda: [_result(job, patience=PATIENCE_FOR_ALL) for job in jobs]


def _result(job: Job, *, patience: int) -> float:
    result = job.latest_result(timeout=patience)
    if result is None or result.type is not Result.Type.SUCCESSFUL:
        raise RuntimeError(f"RQ job {job.id} has no result: {result and result.type}")
    return cast("float", result.return_value)
