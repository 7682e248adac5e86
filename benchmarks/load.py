"""Many clients in one process: `python -m benchmarks.load SYSTEM SECONDS CLIENTS …`, one JSON object per CLIENTS.

SYSTEM is the package of a peer, `in-process` or the port of Sanguine's API.
"""

import json
import sys
from collections.abc import Callable

from benchmarks.golden import golden_row
from benchmarks.measure import measure
from benchmarks.peers import client_of


def call_of(system: str) -> Callable[[], object]:
    """Return a call that gives one job to the system and waits for its result."""
    if system == "in-process" or system.isdigit():
        from benchmarks import sanguine  # noqa: PLC0415 - a peer's client need not wait for what Sanguine imports

        return sanguine.in_process() if system == "in-process" else sanguine.over_http(int(system))
    ask, values = client_of(system).ask, golden_row()
    return lambda: ask(values)


def main(system: str, seconds: float, clients: list[int]) -> None:
    """Measure one system with each number of clients."""
    call = call_of(system)
    for count in clients:
        sample = measure(call, clients=count, seconds=seconds)
        figures = {"p50": sample.percentile(50), "p99": sample.percentile(99), "per_second": sample.per_second}
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), [int(count) for count in sys.argv[3:]])
