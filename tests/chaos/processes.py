"""The programs of the run: each in a group of its own, tethered to this process, brought back when it ends."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from backend.ops.supervision import last_lines
from backend.ops.tether import TETHER
from backend.settings import PROJECT

BACK_AFTER = 1.0  # seconds until a program that ended by itself is started again, as a supervisor does

STOP_SECONDS = 20.0  # that a program is given to end, as the kill delay of a supervisor


class Programs:
    """Starts programs and keeps them up; leaving the block kills every one with its group."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._commands: dict[str, tuple[str, ...]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}  # those that are meant to run
        self._ended: dict[str, float] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self.brought_back = 0
        self._watcher = threading.Thread(target=self._watch, name="restarter", daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watcher.join()
        for name in reversed(list(self._running)):
            self.kill(name)

    def add(self, name: str, *command: str) -> None:
        """Start a program for the first time."""
        self._commands[name] = command
        self.start(name)

    def start(self, name: str) -> None:
        with self._lock, (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*TETHER, "SIGKILL", *self._commands[name]],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a program, its group with it, and do not bring it back."""
        with self._lock:
            process = self._running.pop(name)
            self._ended.pop(name, None)
            _kill_group(process)

    def stop(self, name: str) -> None:
        """Ask a program to end, and end it when it takes too long; it is not brought back."""
        with self._lock:
            process = self._running.pop(name)
            self._ended.pop(name, None)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        _kill_group(process)

    def suspend(self, name: str) -> subprocess.Popen[bytes]:
        """Stop a program in its tracks; returns the process, for `resume`."""
        with self._lock:
            process = self._running[name]
            os.killpg(process.pid, signal.SIGSTOP)
            return process

    def resume(self, process: subprocess.Popen[bytes]) -> None:
        """Let a suspended process go on, unless something else ended it."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGCONT)

    def log_of(self, name: str) -> str:
        return last_lines(self._folder / f"{name}.log")

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            with self._lock:
                for name, process in list(self._running.items()):
                    if process.poll() is None:
                        continue
                    if time.monotonic() - self._ended.setdefault(name, time.monotonic()) >= BACK_AFTER:
                        del self._ended[name]
                        _kill_group(process)  # children that outlived it
                        self.start(name)
                        self.brought_back += 1


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # nothing of it is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
