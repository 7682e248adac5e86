"""Measure Sanguine on this machine: `python -m benchmarks [PART …]`.

The parts are match, jobs, models, rescoring, batches, outreach and serving. Each that is measured writes its page in
`benchmarks/results/`.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.batches import measure_batches
from benchmarks.jobs import measure_jobs
from benchmarks.match import YEARS, measure_match
from benchmarks.models import measure_models
from benchmarks.outreach import measure_outreach
from benchmarks.peers import require_peers
from benchmarks.reloads import measure_reloads
from benchmarks.report import Table, machine, page
from benchmarks.rescoring import measure_rescoring
from benchmarks.serving import measure_serving

RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="match, jobs, models, reloads, rescoring, batches, outreach or serving; all without any",
    )
    parser.add_argument("--largest", type=int, default=max(YEARS), metavar="N", help="donors at which matching stops")
    options = parser.parse_args()
    parts: dict[str, Callable[[], list[Table]]] = {
        "match": lambda: measure_match(largest=options.largest),
        "jobs": measure_jobs,
        "models": measure_models,
        "reloads": measure_reloads,
        "rescoring": measure_rescoring,
        "batches": measure_batches,
        "outreach": measure_outreach,
        "serving": measure_serving,
    }
    unknown = set(options.parts) - set(parts)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; one of {', '.join(parts)}")
    chosen = options.parts or list(parts)
    if "jobs" in chosen:
        require_peers()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave every block, so that nothing is left behind
    started = time.monotonic()
    for name in chosen:
        print(f"{name} …", flush=True)
        busy = os.getloadavg()[0]  # after the part before it: that one's load too
        tables = parts[name]()
        for table in tables:
            print(f"\n{table.markdown()}", flush=True)
        if options.largest == max(YEARS):
            written = page(tables, command=f"python -m benchmarks {name}", busy=busy)
            (RESULTS / f"{name}.md").write_text(written, encoding="utf-8")
    print(f"{time.monotonic() - started:.0f} s in all, on {machine()}")


if __name__ == "__main__":
    main()
