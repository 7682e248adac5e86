"""How fast the rows of a file are predicted, beside the model alone; how much memory it takes; what a kill costs."""

import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings
from benchmarks.processes import HOST, Installation
from benchmarks.report import Table

MODEL = "donor_seeker_match"
ROWS = 1_000_000
MANY_ROWS = 10_000_000
ROUNDS = 3
KILL_AT = 0.4  # of the parts
PAUSE = 0.05  # seconds between two looks
PATIENCE = 1800.0
ROW_GROUP = 131_072

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
NOTES = (
    (
        f"The model {MODEL} (25 columns) on rows drawn column by column from its golden rows. From the first byte of "
        "the upload to `succeeded`, through gunicorn, Valkey and one batch worker with one child; the database is "
        "SQLite. Results come in the format of the upload."
    ),
    (
        "Times raw: rows a second beside those of `Booster.predict` with one thread on the same rows, which are in its "
        "memory already as one matrix; measured in the same round, median of the ratios."
    ),
    (
        "MB above idle: the largest resident size of the worker's child above the one after a batch of one row of "
        "the same format, looked at every 0.05 s. The file of 10,000,000 rows has short cells, to stay below 1 GB."
    ),
    (
        f"Killed: SIGKILL to the worker and its child when {KILL_AT:.0%} of the parts were done, and another started "
        "at once; its start and the lease of 30 s are part of the seconds."
    ),
    "Exact: the result has each row number from 1 to the last once, in order, with what the model says of that row.",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One batch."""

    seconds: float
    above_idle: float
    exact: bool
    attempts: int


def measure_batches() -> list[Table]:
    """Measure batches of a million rows in each format, one killed midway, and one of ten million."""
    manifest = Catalogue(load_settings().models_dir).manifest(MODEL)
    names = [column.name for column in manifest.columns]
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder:
        values = _draw(ROWS, short=False)
        files = {suffix: Path(folder) / f"rows{suffix}" for suffix in MEDIA_TYPES}
        _write(files, names, values)
        expected = _expected(values)
        for suffix, path in files.items():
            runs, ratios = [], []
            for number in range(ROUNDS if suffix != ".ndjson" else 1):
                print(f"  {suffix[1:]}, round {number + 1}", flush=True)
                raw = _raw_rows_per_second(values)
                run = _batch(folder, path, rows=ROWS, names=names, expected=expected)
                runs.append(run)
                ratios.append(ROWS / run.seconds / raw)
            rows.append(_row(suffix[1:], ROWS, runs, f"{statistics.median(ratios):.2f}"))
        print("  csv, killed midway", flush=True)
        rows.append(
            _row(
                "csv, killed midway",
                ROWS,
                [_batch(folder, files[".csv"], rows=ROWS, names=names, expected=expected, kill=True)],
                "",
            )
        )
        for path in files.values():
            path.unlink()
        print(f"  csv, {MANY_ROWS:,} rows", flush=True)
        many = _draw(MANY_ROWS, short=True)
        path = Path(folder) / "many.csv"
        _write({".csv": path}, names, many)
        rows.append(
            _row("csv", MANY_ROWS, [_batch(folder, path, rows=MANY_ROWS, names=names, expected=_expected(many))], "")
        )
    columns = ("file", "rows", "seconds", "rows/s", "times raw", "MB above idle", "exact", "attempts at parts")
    return [Table(title="Batch prediction from file to file", columns=columns, rows=rows, notes=NOTES)]


def _draw(rows: int, *, short: bool) -> NDArray[np.float64]:
    """Return rows like the golden ones, those for the largest file with at most three characters a cell."""
    golden = np.array(Catalogue(load_settings().models_dir).read(MODEL).golden.rows, dtype=np.float64)
    rng = np.random.default_rng(4)
    values = np.empty((rows, golden.shape[1]))
    for place in range(golden.shape[1]):
        column = golden[:, place]
        known = np.round(column[~np.isnan(column)], 0 if short else 3)
        values[:, place] = rng.choice(np.clip(known, -9, 99) if short else known, size=rows)
    return values


def _write(files: dict[str, Path], names: list[str], values: NDArray[np.float64]) -> None:
    table = pa.table([pa.array(values[:, place]) for place in range(values.shape[1])], names=names)
    if ".csv" in files:
        options = pa_csv.WriteOptions(quoting_style="none")
        pa_csv.write_csv(table, files[".csv"], options)
    if ".parquet" in files:
        pq.write_table(table, files[".parquet"], row_group_size=ROW_GROUP)
    if ".ndjson" in files:
        with files[".ndjson"].open("w") as file:
            for row in values.tolist():
                file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")


def _expected(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the model says, as a client of the library sees it."""
    from backend.inference.client import ModelClient  # noqa: PLC0415 - loads LightGBM

    return ModelClient(Catalogue(load_settings().models_dir)).predict(MODEL, values)


def _raw_rows_per_second(values: NDArray[np.float64]) -> float:
    import lightgbm as lgb  # noqa: PLC0415 - slow to import

    artifact = Catalogue(load_settings().models_dir).read(MODEL)
    booster = lgb.Booster(model_str=artifact.weights.decode())
    started = time.perf_counter()
    booster.predict(values, num_threads=1)
    return len(values) / (time.perf_counter() - started)


def _batch(
    folder: str, path: Path, *, rows: int, names: list[str], expected: NDArray[np.float64], kill: bool = False
) -> Run:
    with tempfile.TemporaryDirectory(dir=folder) as data, Installation(Path(data)) as installation:
        installation.migrate()
        installation.start_broker()
        installation.start_api("backend.app:create_app()")
        installation.start_batch()
        installation.start_beat()
        address = f"/batches?model={MODEL}"
        one = Path(data) / f"one{path.suffix}"
        _write({one.suffix: one}, names, np.zeros((1, len(names))))
        warm = _call(installation.port, "POST", address, one.read_bytes(), MEDIA_TYPES[path.suffix])
        _wait(lambda: _done(installation.port, warm["id"]))
        idle = installation.largest_child("batch")
        started = time.perf_counter()
        with path.open("rb") as file:
            work = _call(installation.port, "POST", address, file, MEDIA_TYPES[path.suffix])
        peak = 0.0
        while not _done(installation.port, work["id"]):
            if kill and _progress(installation.port, work["id"]) >= KILL_AT:
                kill = False
                installation.kill("batch")
                installation.start_batch()
            else:
                peak = max(peak, installation.largest_child("batch"))
            if time.perf_counter() > started + PATIENCE:
                raise RuntimeError("the batch does not end")
            time.sleep(PAUSE)
        seconds = time.perf_counter() - started
        if kill:
            raise RuntimeError("the batch ended before its worker could be killed")
        attempts = _attempts(installation.port, work["id"])
        return Run(seconds, peak - idle, _exact(installation, work["id"], path.suffix, rows, expected), attempts)


def _done(port: int, job_id: str) -> bool:
    job = _call(port, "GET", f"/jobs/{job_id}")
    if job["state"] in ("failed", "dead", "cancelled", "expired"):
        raise RuntimeError(f"the batch is {job['state']}: {job['error']}")
    return bool(job["state"] == "succeeded")


def _progress(port: int, job_id: str) -> float:
    job = _call(port, "GET", f"/jobs/{job_id}")
    return float(job["progress"]) if job["state"] == "waiting" else 0.0


def _attempts(port: int, job_id: str) -> int:
    parts = _call(port, "GET", f"/jobs?parent_id={job_id}&limit=500")["jobs"]
    return sum(part["attempt"] for part in parts)


def _exact(installation: Installation, job_id: str, suffix: str, rows: int, expected: NDArray[np.float64]) -> bool:
    path = installation.folder / "files" / job_id / f"result{suffix}"
    if suffix == ".parquet":
        table = pq.read_table(path)
    elif suffix == ".csv":
        table = pa_csv.read_csv(path)
    else:
        import pyarrow.json as pa_json  # noqa: PLC0415 - for this format alone

        table = pa_json.read_json(path)
    found, predictions = (table.column(name).to_numpy() for name in ("row", "prediction"))
    return np.array_equal(found, np.arange(1, rows + 1)) and np.array_equal(predictions, expected)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the installation does not work")
        time.sleep(PAUSE)


def _call(
    port: int, method: str, path: str, body: IO[bytes] | bytes | None = None, media_type: str = ""
) -> dict[str, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    connection.request(method, f"/api/ml{path}", body, {"Content-Type": media_type})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    connection.close()
    if response.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer


def _row(name: str, rows: int, runs: list[Run], ratio: str) -> tuple[str, ...]:
    seconds = statistics.median(run.seconds for run in runs)
    return (
        name,
        f"{rows:,}",
        f"{seconds:.1f}",
        f"{rows / seconds:,.0f}",
        ratio,
        f"{max(run.above_idle for run in runs):.0f}",
        "yes" if all(run.exact for run in runs) else "NO",
        f"{max(run.attempts for run in runs)}",
    )
