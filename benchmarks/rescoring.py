"""How long it takes to rescore the reliability of a million donors, undisturbed and with the worker killed midway."""

import http.client
import json
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import HOST, Installation
from benchmarks.report import Table

DONORS, YEARS = 1_000_000, 0.1
KILL_AT = 0.4  # of the donors
PAUSE = 0.05  # seconds between two looks
PATIENCE = 900.0

NOTES = (
    (
        "From the request to `succeeded`, on a batch worker (prefork, one child) that was ready before, the database "
        "being SQLite. Donors are simulated; those without a commitment are scored and written like the others."
    ),
    (
        f"Killed: SIGKILL to the worker and its child when {KILL_AT:.0%} of the donors were scored, and another worker "
        "started at once. Until that one goes on, its start and the lease of 30 s pass; both are part of the seconds."
    ),
    "Scored once: the job counts a donor in the transaction that writes the score; all scores bear one moment.",
    "RSS: the largest that the worker's child had, looked at every 0.05 s.",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One rescoring."""

    seconds: float
    donors: int
    resident: float
    attempts: int
    moments: int
    rows: int
    slowest_submit: float


def measure_rescoring() -> list[Table]:
    """Measure an undisturbed rescoring and one whose worker is killed, each on a copy of one database."""
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder:
        filled = Path(folder) / "filled"
        filled.mkdir()
        with Installation(filled) as installation:
            installation.migrate()
            stored = installation.run("benchmarks.fill", str(DONORS), str(YEARS), show=True)
            print(f"  {stored.strip()}", flush=True)
        rows = []
        for name, kill in (("undisturbed", False), ("killed midway", True)):
            print(f"  {name}", flush=True)
            copy = Path(folder) / name.replace(" ", "-")
            shutil.copytree(filled, copy)
            with Installation(copy) as installation:
                run = _run(installation, kill=kill)
            shutil.rmtree(copy)
            rows.append(_row(name, run))
    columns = (
        "run",
        "donors scored",
        "seconds",
        "rows/s",
        "worker RSS, MB",
        "attempts",
        "scored once",
        "submit max, ms",
    )
    return [Table(title="Rescoring the reliability of every donor", columns=columns, rows=rows, notes=NOTES)]


def _run(installation: Installation, *, kill: bool) -> Run:
    installation.start_broker()
    installation.start_api("backend.app:create_app()")
    installation.start_batch()
    installation.start_beat()
    started = time.monotonic()
    job_id = _call(installation.port, "POST", "/rescore_reliability", {})["id"]
    resident = slowest = 0.0
    while (job := _call(installation.port, "GET", f"/jobs/{job_id}"))["state"] != "succeeded":
        if job["state"] in ("failed", "dead", "cancelled", "expired") or time.monotonic() > started + PATIENCE:
            raise RuntimeError(f"rescoring is {job['state']}: {job['error']}")
        if kill and job["progress"] >= KILL_AT:
            kill = False
            installation.kill("batch")
            installation.start_batch()
        else:
            resident = max(resident, installation.largest_child("batch"))
        slowest = max(slowest, _submit_something(installation.port))
        time.sleep(PAUSE)
    seconds = time.monotonic() - started
    if kill:
        raise RuntimeError("the rescoring ended before its worker could be killed")
    with sqlite3.connect(installation.folder / "sanguine.sqlite") as database:
        moments, rows = database.execute("SELECT count(DISTINCT as_of), count(*) FROM donor_reliability").fetchone()
    return Run(
        seconds=seconds,
        donors=job["result"]["donors"],
        resident=resident,
        attempts=job["attempt"],
        moments=moments,
        rows=rows,
        slowest_submit=slowest,
    )


def _submit_something(port: int) -> float:
    """Store a job, as clients do meanwhile, and return the seconds it took; nobody runs it."""
    started = time.monotonic()
    _call(port, "POST", "/predict_availability", {"donor_id": 1})
    return time.monotonic() - started


def _call(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, f"/api/ml{path}", json.dumps(body), {"Content-Type": "application/json"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def _row(name: str, run: Run) -> tuple[str, ...]:
    once = run.moments == 1 and run.rows == run.donors == DONORS
    return (
        name,
        f"{run.donors:,}",
        f"{run.seconds:.1f}",
        f"{run.donors / run.seconds:,.0f}",
        f"{run.resident:,.0f}",
        str(run.attempts),
        "yes" if once else f"no: {run.rows:,} rows of {run.moments} moments",
        f"{1_000.0 * run.slowest_submit:.0f}",
    )
