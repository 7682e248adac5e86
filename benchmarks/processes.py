"""The programs of one installation in a folder of their own, started as `run.py` starts them, ended with the block."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from backend.ops.ports import find_free
from backend.ops.supervision import last_lines
from backend.ops.tether import TETHER
from backend.ops.valkey import server_command
from backend.settings import PROJECT

HOST = "127.0.0.1"
START_SECONDS = 300.0  # a worker reads a million donors before it is ready


class Installation:
    """A database, a broker, an API and a worker; leaving the block ends every process, with its group."""

    def __init__(self, folder: Path, *, database_url: str = "", broker_url: str = "") -> None:
        self.folder = folder
        self.port = find_free(HOST)
        self._socket = folder / "valkey.sock"
        self.broker_url = broker_url or f"redis+socket://{self._socket}?virtual_host=0"
        self._environment = os.environ | {
            "PYTHONUNBUFFERED": "1",
            "SANGUINE_DATA_DIR": str(folder),
            "SANGUINE_DATABASE_URL": database_url,
            "SANGUINE_BROKER_URL": self.broker_url,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, module: str, *arguments: str, show: bool = False) -> str:
        """Run a module of Python to its end and return its output; `show` lets its progress through to the terminal.

        Raises:
            RuntimeError: it failed; the message ends with what it wrote last.
        """
        command = [*TETHER, "SIGKILL", sys.executable, "-m", module, *arguments]
        with self._log("run").open("wb") as log:
            done = subprocess.run(
                command,
                cwd=PROJECT,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=None if show else log,
                text=True,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{module} {' '.join(arguments)} failed; {last_lines(self._log('run'))}")
        return done.stdout

    def migrate(self) -> None:
        """Create the tables."""
        self.run("flask", "--app", "backend.app:create_app", "db", "upgrade")

    def start_broker(self) -> None:
        """Start Valkey as `run.py` configures it."""
        self._start("valkey", "SIGTERM", *server_command(socket=self._socket, directory=self.folder))
        self._wait_for("valkey", "Ready to accept connections")

    def start_api(self, factory: str, *, configuration: str = "backend.ops.gunicorn") -> None:
        """Start gunicorn as `supervisord.conf` does."""
        self._start(
            "api",
            "SIGKILL",
            *(sys.executable, "-m", "gunicorn", "-c", f"python:{configuration}", factory),
            *("--bind", f"{HOST}:{self.port}"),
        )
        self._wait_for("api", "Booting worker")

    def start_worker(self, name: str, celery: str, *options: str, pool: str = "threads", concurrency: int = 4) -> None:
        """Start a Celery worker, by default with the pool of the interactive one."""
        self.start_module(
            name,
            *("celery", "-A", celery, "worker", "-n", f"{name}@bench", "--loglevel", "INFO"),
            *("--pool", pool, "--concurrency", str(concurrency), "--without-mingle", "--without-gossip", *options),
            ready="worker_ready",
        )

    def start_module(self, name: str, *arguments: str, ready: str) -> None:
        """Start a module of Python that says when it is ready; `ready` is a regular expression."""
        self._start(name, "SIGKILL", sys.executable, "-m", *arguments)
        self._wait_for(name, ready)

    def start_interactive(self, celery: str = "celery_worker") -> None:
        """Start the interactive worker with the options of `supervisord.conf`."""
        self.start_worker("interactive", celery, "-Q", "interactive", "--task-events")

    def start_batch(self) -> None:
        """Start the batch worker with the options of `supervisord.conf`."""
        options = ("-Q", "batch,maintenance", "--task-events")
        self.start_worker("batch", "celery_worker", *options, pool="prefork", concurrency=1)

    def start_beat(self) -> None:
        """Start the clock that returns the jobs of workers that are gone."""
        schedule = str(self.folder / "beat")
        command = (sys.executable, "-m", "celery", "-A", "celery_worker", "beat", "-s", schedule, "--pidfile", "")
        self._start("beat", "SIGKILL", *command, "--loglevel", "INFO")
        self._wait_for("beat", "beat: Starting")

    def kill(self, name: str) -> None:
        """End a process and its children as the kernel does when memory is used up."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def group(self, name: str) -> int:
        """Return the number of the process group of a process and its children."""
        return self._processes[name].pid

    def largest_child(self, name: str) -> float:
        """Return the resident size in MB of the largest child of a process, 0 while it has none."""
        pid = self._processes[name].pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return max((_resident(int(child)) for child in children), default=0.0)

    def memory(self, name: str) -> tuple[float, float]:
        """Return resident and proportional set size of a process in MB."""
        rollup = Path(f"/proc/{self._processes[name].pid}/smaps_rollup").read_text()
        resident, proportional = (re.search(rf"^{key}:\s+(\d+) kB", rollup, re.MULTILINE) for key in ("Rss", "Pss"))
        if resident is None or proportional is None:
            raise RuntimeError("the kernel does not tell the memory of a process")
        return int(resident[1]) / 1024, int(proportional[1]) / 1024

    def _start(self, name: str, end: str, *command: str) -> None:
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [*TETHER, end, *command],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for(self, name: str, pattern: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not re.search(pattern, self._log(name).read_text(errors="replace")):
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start; {last_lines(self._log(name))}")
            time.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except FileNotFoundError:  # it has just ended
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
