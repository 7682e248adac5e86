import threading
import time

import pytest

from benchmarks.measure import measure


def test_every_client_calls_until_the_time_is_over():
    callers = set()

    def call():
        callers.add(threading.get_ident())
        time.sleep(0.01)

    sample = measure(call, clients=3, seconds=0.2)

    assert len(callers) == 3
    assert 3 <= len(sample.milliseconds) <= 60
    assert sample.percentile(50) >= 10.0
    assert sample.per_second <= 300.0


def test_a_call_that_fails_fails_the_measurement_instead_of_leaving_the_others_waiting():
    turns = iter(range(10_000))

    def call():
        if next(turns) == 5:
            raise RuntimeError("the job is dead")
        time.sleep(0.001)

    with pytest.raises(RuntimeError, match="the job is dead"):
        measure(call, clients=2, seconds=0.1)
