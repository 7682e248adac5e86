"""`run.py` itself: the whole stack comes up, does the sample job, and goes away whatever ends it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from backend.errors import Unavailable
from backend.ops.ports import find_free
from backend.ops.sample import match_sample
from backend.settings import PROJECT

READY_SECONDS = 180
GONE_SECONDS = 15
MARKER = "SANGUINE_TEST_STACK"


class RunPy:
    """One run.py on ports and a data folder of its own; its processes are those that name the folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.output = data_dir.with_suffix(".out")
        self.port = find_free("127.0.0.1")
        ports = ["--port", str(self.port), "--flower-port", str(find_free("127.0.0.1"))]
        self.process = self.launch("--data-dir", str(data_dir), *ports, "--donors", "300")

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, MARKER: str(self.data_dir), "TMPDIR": str(self.data_dir.parent)}
        with self.output.open("ab") as output:
            command = [sys.executable, str(PROJECT / "run.py"), *arguments]
            return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def wait_until_ready(self) -> None:
        self.wait_for(f"\nready http://127.0.0.1:{self.port}\n")

    def wait_for(self, part: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while part not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.1)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that cannot be asked while a process is being started again."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError, HTTPException, Unavailable):
                if condition():
                    return
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.1)

    def text(self) -> str:
        return self.output.read_text()

    def processes(self) -> dict[int, str]:
        """Process ids and command lines; Valkey overwrites its environment, but its title names the socket."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
                marked = f"{MARKER}={self.data_dir}\0".encode() in folder.joinpath("environ").read_bytes() + b"\0"
                zombie = folder.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:  # it ended meanwhile
                continue
            if not zombie and (marked or f"unixsocket:{self.data_dir}" in command):
                found[int(folder.name)] = command.strip()
        return found

    def pid_of(self, part: str) -> int:
        return min(pid for pid, command in self.processes().items() if part in command)

    def wait_until_gone(self) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while left := self.processes():
            if time.monotonic() > deadline:
                pytest.fail(f"still running: {left}")
            self.process.poll()  # reaps it
            time.sleep(0.05)

    def assert_nothing_is_left(self) -> None:
        self.wait_until_gone()
        assert [file for file in self.data_dir.parent.rglob("*") if file.is_socket() or file.suffix == ".pid"] == []


@pytest.fixture
def run_py() -> Iterator[RunPy]:
    folder = Path(tempfile.mkdtemp(prefix="sanguine-test-", dir="/tmp"))  # short: it holds sockets
    stack = RunPy(folder / "data")
    yield stack
    if stack.process.poll() is None:
        stack.process.kill()
        stack.process.wait()
    for pid in stack.processes():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


def assert_it_says_what_it_did_and_where_everything_is(run_py: RunPy) -> None:
    text = run_py.text()
    for part in ("migrating", "seeding 300 simulated donors", "rank", f"http://127.0.0.1:{run_py.port}/apidocs/"):
        assert part in text
    assert re.search(r"nightly_reliability +30 0 \* \* \* +Asia/Kolkata +\w+ [\d-]+ 00:30", text)
    password = run_py.data_dir.joinpath("flower-password").read_text().strip()
    assert f"(user admin, password {password})" in text
    assert not [command for command in run_py.processes().values() if password in command]


def assert_a_second_start_is_refused(run_py: RunPy) -> None:
    second = run_py.launch("--data-dir", str(run_py.data_dir), "--port", str(run_py.port))
    assert second.wait(10) == 2
    assert f"port {run_py.port} is in use by" in run_py.text()


def assert_it_stops_well_and_leaves_nothing(run_py: RunPy, number: signal.Signals) -> None:
    run_py.process.send_signal(number)
    assert run_py.process.wait(GONE_SECONDS) == 0
    run_py.assert_nothing_is_left()


# A start takes 20 seconds of two cores, so each of these two looks at all that one start has to show.


def test_killed_it_takes_every_process_with_it_comes_up_again_makes_the_first_forecasts_and_stops_by_ctrl_c(
    run_py: RunPy,
) -> None:
    run_py.wait_until_ready()
    assert_it_says_what_it_did_and_where_everything_is(run_py)
    assert_a_second_start_is_refused(run_py)
    run_py.wait_for("forecasting demand, for the first time")
    assert (
        len(run_py.processes()) >= 9
    )  # run.py, supervisord, Valkey, the API's two, three workers' and Flower at least
    run_py.process.kill()
    run_py.process.wait()
    run_py.assert_nothing_is_left()
    run_py.output.write_text("")
    run_py.process = run_py.launch(
        "--data-dir", str(run_py.data_dir), "--port", str(run_py.port), "--flower-port", str(find_free("127.0.0.1"))
    )
    run_py.wait_until_ready()
    run_py.wait_for("red-cell units expected in all districts (history")
    run_py.wait_for("earlier days: model")
    assert_it_stops_well_and_leaves_nothing(run_py, signal.SIGINT)


def test_a_process_that_crashes_is_started_again_in_one_line_and_the_stack_serves_on_until_it_is_terminated(
    run_py: RunPy,
) -> None:
    run_py.wait_until_ready()
    api = f"http://127.0.0.1:{run_py.port}"
    for part, name in (("valkey-server", "valkey"), ("-Q interactive", "worker-interactive"), ("gunicorn", "api")):
        os.kill(run_py.pid_of(part), signal.SIGKILL)
        run_py.wait_for(
            f"\n{name} ended (terminated by SIGKILL) and was started again; see {run_py.data_dir}/log/{name}.log\n"
        )
        run_py.wait_until(lambda: bool(match_sample(api)["matches"]))
    assert_it_stops_well_and_leaves_nothing(run_py, signal.SIGTERM)


def test_when_the_supervisor_crashes_all_stop_with_its_last_lines(run_py: RunPy) -> None:
    run_py.wait_until_ready()
    os.kill(run_py.pid_of("supervisor.supervisord"), signal.SIGKILL)
    assert run_py.process.wait(GONE_SECONDS) == 1
    assert "run.py: supervisord ended" in run_py.text()
    assert f"last lines of {run_py.data_dir}/log/supervisord.log" in run_py.text()
    run_py.assert_nothing_is_left()


def test_a_program_that_cannot_start_ends_the_stack_at_once_with_its_last_lines(run_py: RunPy) -> None:
    run_py.wait_for("migrating")
    with (
        socket.socket() as taken
    ):  # after run.py looked; it refuses, where a listener would let run.py wait for an answer
        taken.bind(("127.0.0.1", run_py.port))
        assert run_py.process.wait(READY_SECONDS) == 1
    assert "run.py: api ended (exit status 1)" in run_py.text()
    assert f"Connection in use: ('127.0.0.1', {run_py.port})" in run_py.text()
    assert "gave up: api" not in run_py.data_dir.joinpath("log", "supervisord.log").read_text(), "at its first end"
    run_py.assert_nothing_is_left()


def test_interrupted_before_it_is_ready_it_leaves_nothing(run_py: RunPy) -> None:
    while "migrating" not in run_py.text():
        time.sleep(0.02)
    run_py.process.send_signal(signal.SIGINT)
    assert run_py.process.wait(GONE_SECONDS) == 130
    run_py.assert_nothing_is_left()


def test_once_uses_ports_and_data_of_its_own_and_takes_them_away(tmp_path: Path) -> None:
    environment = {**os.environ, "SANGUINE_DATA_DIR": str(tmp_path / "not-used")}
    ended = subprocess.run(
        [sys.executable, "run.py", "--once", "--donors", "300"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    logs = next(line for line in ended.stdout.splitlines() if line.startswith("logs")).split()[1]
    assert not Path(logs).parent.exists()
    assert not (tmp_path / "not-used").exists()
