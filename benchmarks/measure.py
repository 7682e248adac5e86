"""Timing calls from one or many threads."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """The calls of one round: how long each took in milliseconds (n,), and how many ended each second."""

    milliseconds: NDArray[np.float64]
    per_second: float

    def percentile(self, percent: float) -> float:
        """Return a percentile of the calls, in milliseconds."""
        return float(np.percentile(self.milliseconds, percent))


def measure(call: Callable[[], object], *, clients: int, seconds: float) -> Sample:
    """Let `clients` threads call again and again for `seconds`; a call that fails fails the measurement.

    Each thread calls for a while before its calls count: connections are opened, the other side is warm.
    """
    barrier = threading.Barrier(clients)

    def client() -> _Calls:
        try:
            _call_for(WARM_UP_SECONDS, call)
        except BaseException:
            barrier.abort()
            raise
        barrier.wait()
        return _call_for(seconds, call)

    with ThreadPoolExecutor(max_workers=clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        failures = [error for one in running if (error := one.exception()) is not None]
    for failure in failures:
        if not isinstance(failure, threading.BrokenBarrierError):  # those only waited for the one that failed
            raise failure
    calls = [one.result() for one in running]
    taken = np.concatenate([one.milliseconds for one in calls])
    return Sample(taken, len(taken) / (max(one.ended for one in calls) - min(one.began for one in calls)))


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls of one client, and when it began and ended, in seconds."""

    began: float
    ended: float
    milliseconds: NDArray[np.float64]


def _call_for(seconds: float, call: Callable[[], object]) -> _Calls:
    taken = []
    began = now = time.perf_counter()
    while now < began + seconds:
        started = now
        call()
        now = time.perf_counter()
        taken.append(1_000.0 * (now - started))
    return _Calls(began, now, np.array(taken))
