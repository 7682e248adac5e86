"""Many jobs from one client at once: `python -m benchmarks.bulk SYSTEM JOBS`, one JSON object.

SYSTEM is the package of a peer or the port of Sanguine's API.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.golden import Values, golden_outputs, golden_rows
from benchmarks.peers import client_of

WARM_UP = 64  # jobs, before those that count
TOLERANCE = 1e-6

SendAll = Callable[[Sequence[Values]], Callable[[], list[float]]]


def system_of(name: str, rows: Sequence[Values]) -> tuple[SendAll, list[float]]:
    """Return how the system is given all rows, and the results that are expected."""
    if name.isdigit():
        from benchmarks import sanguine  # noqa: PLC0415 - a peer's client need not wait for what Sanguine imports

        return partial(sanguine.send_all, int(name)), sanguine.calibrated(rows)
    return client_of(name).send_all, golden_outputs(len(rows))


def check(scores: Sequence[float], expected: Sequence[float]) -> None:
    """See that each job's result is that of its row.

    Raises:
        RuntimeError: results are missing, or belong to another row.
    """
    if len(scores) != len(expected):
        raise RuntimeError(f"{len(scores)} results of {len(expected)} jobs")
    for place, (score, wanted) in enumerate(zip(scores, expected, strict=True)):
        if abs(score - wanted) > TOLERANCE:
            raise RuntimeError(f"job {place} was answered with {score}, and the model says {wanted} of its row")


def main(name: str, jobs: int) -> None:
    """Send the jobs, wait for all results and print how long both took."""
    rows = golden_rows(jobs)
    send_all, expected = system_of(name, rows)
    send_all(rows[:WARM_UP])()
    started = time.perf_counter()
    fetch = send_all(rows)
    sent = time.perf_counter()
    scores = fetch()
    fetched = time.perf_counter()
    check(scores, expected)
    print(json.dumps({"jobs": jobs, "sent": sent - started, "fetched": fetched - started}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
