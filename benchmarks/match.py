"""How long a match takes, for growing numbers of donors: the job's function alone, and everything through HTTP."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.client import post_and_wait
from benchmarks.handler import REQUESTS, ROUNDS, WARM_UP
from benchmarks.processes import Installation
from benchmarks.report import Table
from benchmarks.requests import match_bodies

YEARS = {10_000: 2.0, 100_000: 2.0, 1_000_000: 0.1}
"""Years with requests, by donors: storing two years of a million donors' events would take a quarter of an hour."""

NOTES = (
    (
        f"{REQUESTS} different requests {ROUNDS} times over, after {WARM_UP} others: all groups and urgencies, places "
        "drawn by population; radius and number of matches follow from urgency and units."
    ),
    (
        "Handler: the job's function alone, in one process. HTTP: POST with `Prefer: wait=10` by one client, through "
        "gunicorn, Valkey and a Celery worker with four threads; the database is SQLite."
    ),
    (
        "Donors are simulated; years: how long requests, asks and answers are on record. The worker's memory is that "
        "after these requests, with all models."
    ),
)


def measure_match(*, largest: int) -> list[Table]:
    """Measure with each number of donors up to `largest`."""
    return [
        Table(
            title="Match: rank the donors for a request",
            columns=(
                *(
                    "donors",
                    "years",
                    "rows stored",
                    "scored p50",
                    "scored p95",
                    "handler p50",
                    "handler p95",
                    "HTTP p50",
                ),
                *("HTTP p95", "donors read in, s", "worker RSS, MB", "worker PSS, MB"),
            ),
            rows=[_row(donors, years) for donors, years in YEARS.items() if donors <= largest],
            notes=NOTES,
        )
    ]


def _row(donors: int, years: float) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder, Installation(Path(folder)) as installation:
        installation.migrate()
        stored = installation.run("benchmarks.fill", str(donors), str(years), show=True)
        print(f"  {stored.strip()}\n  {donors:,} donors: matching in one process", flush=True)
        handler = json.loads(installation.run("benchmarks.handler"))
        print(f"  {donors:,} donors: matching through HTTP", flush=True)
        http = _through_http(installation)
        resident, proportional = installation.memory("interactive")
    rows = sum(int(word.replace(",", "")) for word in stored.split() if word[0].isdigit())
    return (
        f"{donors:,}",
        f"{years:g}",
        f"{rows:,}",
        *(f"{np.percentile(handler['candidates'], percent):,.0f}" for percent in (50, 95)),
        *_figures(handler["milliseconds"]),
        *_figures(http),
        f"{handler['load_seconds']:.1f}",
        f"{resident:,.0f}",
        f"{proportional:,.0f}",
    )


def _through_http(installation: Installation) -> list[float]:
    installation.start_broker()
    installation.start_api("backend.app:create_app()")
    installation.start_interactive()
    for body in match_bodies(WARM_UP, seed=0):
        post_and_wait(installation.port, "/match", body)
    milliseconds = []
    for body in match_bodies(REQUESTS, seed=1) * ROUNDS:
        started = time.perf_counter()
        post_and_wait(installation.port, "/match", body)
        milliseconds.append(1_000.0 * (time.perf_counter() - started))
    return milliseconds


def _figures(milliseconds: list[float]) -> tuple[str, str]:
    return f"{np.percentile(milliseconds, 50):.1f}", f"{np.percentile(milliseconds, 95):.1f}"
