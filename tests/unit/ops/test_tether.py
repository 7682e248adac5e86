import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.ops import tether

PARENT = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent ended")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_tethered_process_ends_when_its_parent_is_killed(name: str) -> None:
    sleeper = [sys.executable, tether.__file__, name, "/bin/sleep", "60"]
    with subprocess.Popen([sys.executable, "-c", PARENT, *sleeper], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while "sleep" not in Path(f"/proc/{child}/comm").read_text():  # not tethered before it became the command
            time.sleep(0.01)
        parent.kill()
        parent.wait()
        assert wait_until_gone(child)


def test_a_tethered_command_keeps_its_arguments_and_its_exit_status() -> None:
    script = "import sys; print(sys.argv[1:]); sys.exit(7)"
    command = [sys.executable, tether.__file__, "SIGKILL", sys.executable, "-c", script, "a b", "'c'"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, "['a b', \"'c'\"]\n")


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(KeyError, match="SIGNONE"):
        tether.main(["SIGNONE", "/bin/true"])


def test_a_parent_that_ended_meanwhile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([4711, 1])
    received: list[int] = []
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "kill", lambda _pid, number: received.append(number))
    monkeypatch.setattr(tether.ctypes, "CDLL", lambda *_args, **_options: AcceptingLibrary())
    tether.die_with_parent(signal.SIGTERM)
    assert received == [signal.SIGTERM]


class AcceptingLibrary:
    def prctl(self, _option: int, _number: int) -> int:
        return 0
