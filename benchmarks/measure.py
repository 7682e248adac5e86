"""Timing calls from one or many threads."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    barrier = threading.Barrier(clients + 1)

    def client() -> list[float]:
        try:
            _call_for(WARM_UP_SECONDS, call)
        except BaseException:
            barrier.abort()
            raise
        barrier.wait()
        return _call_for(seconds, call)

    with ThreadPoolExecutor(max_workers=clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        with suppress(threading.BrokenBarrierError):  # the client that broke it says why
            barrier.wait()
        started = time.perf_counter()
        taken = np.array([value for one in running for value in one.result()])
        return Sample(taken, len(taken) / (time.perf_counter() - started))


def _call_for(seconds: float, call: Callable[[], object]) -> list[float]:
    taken = []
    now = time.perf_counter()
    deadline = now + seconds
    while now < deadline:
        started = now
        call()
        now = time.perf_counter()
        taken.append(1_000.0 * (now - started))
    return taken
