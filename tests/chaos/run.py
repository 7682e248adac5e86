"""One run: everything is started, loaded and broken, and everything is ended again, whatever happens."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, Select, create_engine, func, select

from backend.jobs.states import UNFINISHED
from backend.jobs.tables import Job
from backend.settings import PROJECT, load_settings
from tests.chaos.api import TRAP
from tests.chaos.checks import Run
from tests.chaos.evidence import SCHEDULED, Evidence, gather
from tests.chaos.faults import Field, Injector
from tests.chaos.load import Client, Load
from tests.chaos.orders import API, Orders
from tests.chaos.plan import LEASE_SECONDS, RECONCILE_SECONDS, Fault, FaultKind
from tests.chaos.processes import Programs
from tests.chaos.proxy import FaultyProxy
from tests.chaos.report import Report, make_report
from tests.chaos.services import Postgres, postgres, small_disk, valkey_command
from tests.chaos.tables import ChaosTable
from tests.integration.stack import free_port

READY_SECONDS = 90.0
SETTLE_SECONDS = 300.0
DONORS = 300


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is made of."""

    seed: int
    jobs: int
    plan: list[Fault]
    clients: int = 8
    rare_every: int = 2_000  # orders: among them one of each that is rare


def carry_out(options: Options, folder: Path, say: Callable[[str], None]) -> Report:
    """Run the whole thing in a folder and return what it found."""
    with installation(folder, say) as (field, port):
        orders = Orders(options.seed, rare_every=options.rare_every)
        seconds = sum(fault.after + fault.lasts for fault in options.plan)
        load = Load(orders.order, port=port, jobs=options.jobs, seconds=seconds, clients=options.clients)
        injector = Injector(field, say)
        load.start()
        try:
            injector.carry_out(options.plan)
            say("no more faults")
            load.finish(seconds=SETTLE_SECONDS)
        finally:
            load.stop()
        evidence = _settle(field.postgres, folder / "data" / "files", say)
        return make_report(
            Run(load.submissions, evidence),
            injector.happened,
            statuses=load.statuses,
            surprises=load.surprises,
            brought_back=field.programs.brought_back,
        )


@contextmanager
def installation(folder: Path, say: Callable[[str], None]) -> Iterator[tuple[Field, int]]:
    """Start everything; yields what faults are done to and the port of the API."""
    data = folder / "data"
    data.mkdir()
    with ExitStack() as stack:
        if not stack.enter_context(small_disk(data)):
            say("this user may not mount a small disk: no disk gets full")
        shutil.copytree(load_settings().models_dir, data / "models")
        server = stack.enter_context(postgres(Path(stack.enter_context(_short_folder()))))
        database = stack.enter_context(FaultyProxy(server.socket))
        broker_port = free_port()
        broker = stack.enter_context(FaultyProxy(("127.0.0.1", broker_port)))
        url = server.url.set(host="127.0.0.1", port=database.port, query={})
        environment = os.environ | {
            "PYTHONUNBUFFERED": "1",
            "SANGUINE_DATA_DIR": str(data),
            "SANGUINE_MODELS_DIR": str(data / "models"),
            "SANGUINE_DATABASE_URL": url.render_as_string(hide_password=False),
            "SANGUINE_BROKER_URL": f"redis://127.0.0.1:{broker.port}/0",
            "SANGUINE_LEASE_SECONDS": str(LEASE_SECONDS),
            "SANGUINE_RECONCILE_SECONDS": str(RECONCILE_SECONDS),
            TRAP: str(folder / "trap"),
        }
        _prepare(environment, server)
        programs = stack.enter_context(Programs(folder, environment))
        port = free_port()
        programs.add("valkey", *valkey_command(broker_port))
        _start(programs, port)
        _wait_ready(programs, port)
        _fire_every_minute(port)
        say(f"everything runs; logs are in {folder}")
        yield Field(programs, broker, database, server, data, folder / "trap"), port


def disk_can_fill(kinds: tuple[FaultKind, ...] = tuple(FaultKind)) -> tuple[FaultKind, ...]:
    """Return the kinds of faults that this user can bring about."""
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder)) as mounted:
        return kinds if mounted else tuple(kind for kind in kinds if kind is not FaultKind.DISK_FULL)


def _prepare(environment: dict[str, str], server: Postgres) -> None:
    flask = (sys.executable, "-m", "flask", "--app", "backend.app:create_app")
    subprocess.run(
        (*flask, "seed", "--migrate", "--donors", str(DONORS)),
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    engine = create_engine(server.url)
    ChaosTable.metadata.create_all(engine)
    engine.dispose()


def _start(programs: Programs, port: int) -> None:
    celery = (sys.executable, "-m", "celery", "-A", "tests.chaos.worker")
    quiet = ("--without-gossip", "--without-mingle")
    programs.add(
        "api",
        *(sys.executable, "-m", "gunicorn", "-c", "python:backend.ops.gunicorn", "tests.chaos.api:create_chaos_app()"),
        *("--bind", f"127.0.0.1:{port}"),
    )
    for name in ("interactive-1", "interactive-2"):
        options = (
            "--pool",
            "threads",
            "--concurrency",
            "4",
            "-Q",
            "interactive,outbound,maintenance",
            "-n",
            f"{name}@chaos",
        )
        programs.add(name, *celery, "worker", *options, *quiet)
    options = ("--pool", "prefork", "--concurrency", "2", "-Q", "batch,maintenance", "-n", "batch@chaos")
    programs.add("batch", *celery, "worker", *options, *quiet)
    for name in ("beat-1", "beat-2"):
        programs.add(name, *celery, "beat")


def _wait_ready(programs: Programs, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with closing(Client(port)) as client:
            health = client.call("GET", f"{API}/health/ready")
        if health.status == 200 and health.body["status"] == "ok" and len(health.body["workers"]) == 3:
            return
        if time.monotonic() > deadline:
            logs = "\n".join(programs.log_of(name) for name in ("api", "interactive-1", "batch"))
            raise TimeoutError(f"not ready within {READY_SECONDS:g} s: {health.body}\n{logs}")
        time.sleep(0.1)


def _fire_every_minute(port: int) -> None:
    body = b'{"cron": "* * * * *", "paused": false}'
    with closing(Client(port)) as client:
        answer = client.call("PATCH", f"{API}/schedules/{SCHEDULED}", body, {"Content-Type": "application/json"})
    if answer.status != 200:
        raise RuntimeError(f"the schedule {SCHEDULED} cannot be changed: {answer.status} {answer.body}")


def _settle(server: Postgres, files: Path, say: Callable[[str], None]) -> Evidence:
    """Wait until every job has ended, or for as long as that may take at all, and read everything."""
    unfinished = select(func.count()).where(Job.state.in_(UNFINISHED))
    engine = create_engine(server.url)
    began = time.monotonic()
    try:
        while _count(engine, unfinished) and time.monotonic() - began < SETTLE_SECONDS:
            time.sleep(0.2)
        say(f"settled within {time.monotonic() - began:.1f} s")
        return gather(engine, files)
    finally:
        engine.dispose()


def _count(engine: Engine, query: Select[tuple[int]]) -> int:
    with engine.connect() as connection:
        return connection.scalar(query) or 0


@contextmanager
def _short_folder() -> Iterator[str]:
    """A folder for PostgreSQL, which runs as another user and whose socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="sanguine-chaos-pg-") as folder:
        yield folder
