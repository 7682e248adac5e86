"""Real processes for tests: each started in a group of its own, its output kept, ended with the test."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.app import create_app
from backend.extensions import db
from backend.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FLASK = (str(BIN / "flask"), "--app", "backend.app:create_app")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


class Stack:
    """The programs of one installation, with a database and a broker of the test's choice."""

    def __init__(self, root: Path, *, database_url: str, broker_url: str) -> None:
        self.root = root
        self.port = free_port()
        self.env = os.environ | {
            "SANGUINE_DATA_DIR": str(root),
            "SANGUINE_DATABASE_URL": database_url,
            "SANGUINE_BROKER_URL": broker_url,
            "SANGUINE_LEASE_SECONDS": "3",
            "SANGUINE_RECONCILE_SECONDS": "0.5",
            "PYTHONUNBUFFERED": "1",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=PROJECT, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def migrate(self) -> None:
        """Bring the tables up to date, in this process: a further one spends two seconds on imports."""
        self._prepare("db", "upgrade", "--directory", str(PROJECT / "migrations"))

    def prepare(self, *, donors: int) -> None:
        self.migrate()
        self._prepare("seed", "--donors", str(donors))

    def _prepare(self, *command: str) -> None:
        url = self.env["SANGUINE_DATABASE_URL"]
        app = create_app(Settings(database_url=url, data_dir=self.root, log_level="ERROR", _env_file=None))
        done = app.test_cli_runner().invoke(args=command)
        assert done.exit_code == 0, done.output
        with app.app_context():
            db.engine.dispose()

    def start(self, name: str, *command: str) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=PROJECT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def start_api(self, factory: str = "backend.app:create_app()", *, processes: int = 1) -> None:
        self.start(
            "api",
            *(str(BIN / "gunicorn"), "-c", "python:backend.ops.gunicorn", factory, "--bind", f"127.0.0.1:{self.port}"),
            *("--workers", str(processes), "--worker-tmp-dir", "/dev/shm"),  # noqa: S108
        )
        wait_until(lambda: self.call("GET", "/api/ml/health/live").status == 200, seconds=30, what=self.tail("api"))

    def start_worker(self, name: str, *, queues: str, pool: str, concurrency: int, app: str = "celery_worker") -> None:
        self.start(
            name,
            *(str(BIN / "celery"), "-A", app, "worker", "-n", f"{name}@test", "-Q", queues),
            *("--pool", pool, "--concurrency", str(concurrency), "--without-gossip", "--without-mingle"),
        )

    def start_workers(self) -> None:
        self.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)
        self.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)

    def start_beat(self, name: str = "beat") -> None:
        self.start(name, str(BIN / "celery"), "-A", "celery_worker", "beat")

    def start_flower(self) -> int:
        port = free_port()
        self.start("flower", str(BIN / "celery"), "-A", "celery_worker", "flower", f"--port={port}")
        return port

    def wait_ready(self, *, seconds: float = 40) -> None:
        def ready() -> bool:
            health = self.call("GET", "/api/ml/health/ready")
            return health.status == 200 and health.body["status"] == "ok"

        wait_until(ready, seconds=seconds, what=lambda: json.dumps(self.call("GET", "/api/ml/health").body))

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        os.killpg(process.pid, sig)
        process.wait(timeout=20)

    def signal(self, name: str, sig: signal.Signals) -> None:
        os.killpg(self.processes[name].pid, sig)

    def stop(self) -> None:
        for name in list(self.processes):
            if self.processes[name].poll() is None:
                self.kill(name)

    def tail(self, name: str) -> Callable[[], str]:
        return lambda: (self.root / f"{name}.log").read_text()[-3000:]

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 30,
        port: int | None = None,
    ) -> Answer:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        return send(request, timeout=timeout)

    def upload(
        self, path: str, content: bytes | Path | Iterator[bytes], headers: Mapping[str, str], *, timeout: float = 60
    ) -> Answer:
        """Send a file as it is: what has a length with it, what is made on the way in chunks."""
        length = {"Content-Length": str(content.stat().st_size)} if isinstance(content, Path) else {}
        with content.open("rb") if isinstance(content, Path) else nullcontext(content) as data:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}{path}", method="POST", data=data, headers={**length, **headers}
            )
            return send(request, timeout=timeout)


def send(request: urllib.request.Request, *, timeout: float) -> Answer:
    """Return what is answered, status 0 if nothing is."""
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return Answer(response.status, dict(response.headers), read_body(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), read_body(error.read()))
    except (urllib.error.URLError, ConnectionError):
        return Answer(0, {}, None)


def read_body(content: bytes) -> Any:
    """JSON where it is JSON, text otherwise."""
    try:
        return json.loads(content)
    except ValueError:
        return content.decode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], *, seconds: float, what: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what()}")
        time.sleep(0.05)
