"""The whole stack on one machine, in the order in which it comes up; `run.py` is its command line."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from backend.errors import SettingsError, StackError
from backend.ops.first_forecasts import FirstForecasts
from backend.ops.flower import VARIABLE as FLOWER_VARIABLE
from backend.ops.flower import login
from backend.ops.options import StackSettings, temporary_options
from backend.ops.ports import find_free, require_free
from backend.ops.sample import match_sample, read_schedules, tabulate, tabulate_schedules, wait_until_ready
from backend.ops.supervision import Supervision, last_lines
from backend.ops.tether import TETHER
from backend.ops.valkey import server_command
from backend.settings import PROJECT, Environment

# A socket's path has 107 bytes (unix(7)), and supervisord first binds `<path>.<process id>`.
SOCKET_FOLDER_BYTES = 107 - len("/supervisord.sock.4194304")
# Programs of supervisord.conf in the order of their start: Flower needs no database, so it comes before it.
BROKER = "broker:valkey"
EARLY = ("clients:flower",)
LATE = (
    *("clients:api", "clients:worker-interactive", "clients:worker-batch"),
    *("clients:worker-outbound", "clients:beat"),
)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the API is asked with: by whoever administers it, of a new installation only, and by `run.py` itself."""

    admin: str | None
    own: str


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and the key that it lets `run.py` in with."""

    supervision: Supervision
    key: str


def run_once(*, donors: int, console: Console) -> None:
    """Bring up a stack of its own on free ports in a temporary folder, run the sample job, take everything away.

    Raises:
        SanguineError: any of it failed.
    """
    with tempfile.TemporaryDirectory(prefix="sanguine-") as folder:
        settings = temporary_options(
            data_dir=Path(folder), port=find_free(LOOPBACK), flower_port=find_free(LOOPBACK), donors=donors
        )
        with running_stack(settings, console=console):
            console.out("stopping, and removing the temporary data …")


def run_until_stopped(settings: StackSettings, *, console: Console) -> None:
    """Bring up the stack, show its forecasts, and watch it until the person at the terminal, or SIGTERM, asks to stop.

    Raises:
        SanguineError: it did not come up, or a process of it ends again and again.
        KeyboardInterrupt: the wish to stop came before it was up.
    """
    with running_stack(settings, console=console) as stack:
        forecasts = FirstForecasts(settings.url, console, key=stack.key)
        try:
            while True:
                stack.supervision.watch(console.out)
                forecasts.look()
                time.sleep(0.5)
        except KeyboardInterrupt:
            console.out("stopping …")


@contextmanager
def running_stack(settings: StackSettings, *, console: Console) -> Iterator[Stack]:
    """Migrate, seed, start everything and run the sample job; leaving stops everything.

    Raises:
        SettingsError: a port or the data folder cannot be used.
        StackError: a step failed, or a process ended.
        Unavailable: something did not answer in time.
    """
    require_free(settings.host, settings.port, option="--port")
    require_free(LOOPBACK, settings.flower_port, option="--flower-port")
    logs = _make_folders(settings.data_dir)
    flower_login = os.environ.get(FLOWER_VARIABLE) or login(settings)
    with socket_folder(settings.data_dir) as sockets:
        environment = build_environment(settings, sockets=sockets)
        with Supervision(sockets=sockets, logs=logs, environment=environment, directory=PROJECT) as supervision:
            keys = _bring_up(settings, supervision, environment=environment, logs=logs, console=console)
            _print_addresses(settings, flower_login=flower_login, admin_key=keys.admin, logs=logs, console=console)
            yield Stack(supervision=supervision, key=keys.own)


def _bring_up(
    settings: StackSettings, supervision: Supervision, *, environment: Mapping[str, str], logs: Path, console: Console
) -> Keys:
    def start(*programs: str) -> None:
        console.out(f"starting {', '.join(program.partition(':')[2] for program in programs)} …")
        supervision.start(*programs)

    start(*(EARLY if settings.broker_url else (BROKER, *EARLY)))
    console.out(f"migrating the database, seeding {settings.donors:,} simulated donors if it has none …")
    # One step: two processes would import everything twice before anything else can start.
    prepared = run_step("prepare", "--donors", str(settings.donors), environment=environment, log=logs / "prepare.log")
    keys = Keys(**json.loads(prepared.splitlines()[-1]))
    since = datetime.now(UTC)
    start(*LATE)
    console.out("waiting for them to answer …")
    wait_until_ready(settings.url, settings.flower_url, since=since, check=supervision.check)
    console.out("matching donors to a sample request, through the queue …")
    console.print(tabulate(match_sample(settings.url, key=keys.own)))
    console.print(tabulate_schedules(read_schedules(settings.url, key=keys.own)))
    return keys


def _print_addresses(
    settings: StackSettings, *, flower_login: str, admin_key: str | None, logs: Path, console: Console
) -> None:
    user, _, password = flower_login.partition(":")
    if admin_key is not None:
        console.out(f"key      {admin_key} (account admin; shown here only)", highlight=False)
    if settings.environment is Environment.DEVELOPMENT:
        console.out("open     to everybody on this machine, without a key: this is development", highlight=False)
    console.out(
        f"API      {settings.url}/apidocs/\n"
        f"Flower   {settings.flower_url}/ (user {user}, password {password})\n"
        f"health   {settings.url}/api/ml/health\n"
        f"logs     {logs}\n"
        f"ready {settings.url}",
        highlight=False,
    )


def run_step(*arguments: str, environment: Mapping[str, str], log: Path) -> str:
    """Run a Flask command to its end and return its output; on a terminal it shows its progress and its errors.

    Raises:
        StackError: it failed; the message ends with what it wrote last.
    """
    command = [*TETHER, "SIGKILL", sys.executable, "-m", "flask", "--app", "backend.app:create_app", *arguments]
    with log.open("wb") as errors:
        step = subprocess.run(  # noqa: S603 - our own command
            command,
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,  # it may hold keys, which no file should
            stderr=None if sys.stderr.isatty() else errors,
            text=True,
            check=False,
        )
    if step.returncode:
        raise StackError(f"flask {arguments[0]} failed (exit status {step.returncode}); {last_lines(log)}")
    return step.stdout


def build_environment(settings: StackSettings, *, sockets: Path) -> dict[str, str]:
    """Build what the processes get: this process's environment, the settings, and what `supervisord.conf` names."""
    socket = sockets / "valkey.sock"
    data_dir = settings.data_dir
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "SANGUINE_ENVIRONMENT": settings.environment,
        "SANGUINE_DATA_DIR": str(data_dir),
        "SANGUINE_DATABASE_URL": settings.database_url,
        "SANGUINE_BROKER_URL": settings.broker_url or f"redis+socket://{socket}?virtual_host=0",
        "STACK_VALKEY": shlex.join(server_command(socket=socket, directory=data_dir)),
        "STACK_API": shlex.quote(f"{settings.host}:{settings.port}"),
        "STACK_FLOWER_PORT": str(settings.flower_port),
    }


@contextmanager
def socket_folder(data_dir: Path) -> Iterator[Path]:
    """Give a folder for Unix sockets: `data_dir`, or a private temporary one when its path is too long for them.

    Raises:
        SettingsError: the temporary one's path is too long as well, or it belongs to somebody else.
    """
    if len(os.fsencode(data_dir)) <= SOCKET_FOLDER_BYTES:
        yield data_dir
        return
    # The same name for the same data folder: a second run.py on it finds the first one's socket.
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir(), f"sanguine-{os.getuid()}-{digest}")
    if len(os.fsencode(folder)) > SOCKET_FOLDER_BYTES:
        raise SettingsError(f"{data_dir} and {folder.parent} are too long for Unix sockets; choose another --data-dir")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SettingsError(f"{folder} is not a private folder of this user; remove it")
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):  # else another run.py uses it
            folder.rmdir()


def _make_folders(data_dir: Path) -> Path:
    logs = data_dir / "log"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        logs.mkdir(exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot use {data_dir}: {error.strerror}; choose another --data-dir") from None
    return logs
