"""supervisord in the hands of `run.py`: start programs of `supervisord.conf`, notice their ends, stop everything."""

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from backend.errors import SettingsError, StackError
from backend.ops.tether import TETHER

CONFIGURATION = Path(__file__).with_name("supervisord.conf")
START_SECONDS = 10.0
STOP_SECONDS = 25.0  # supervisord kills what is left: of the programs after 15 s, then Valkey after 5 s
GIVEN_UP = {"FATAL", "UNKNOWN"}
END = re.compile(r" exited: (\S+) \((.+); (?:not )?expected\)")  # in supervisord's log
LAST_LINES = 30


class Supervision:
    """A supervisord, and all that it starts, that live at most as long as this process.

    Use it as a context manager: leaving it stops every program, by SIGTERM first, and removes the sockets.

    Args:
        sockets: a private folder with a path short enough for Unix sockets.
        logs: where `<program>.log` go; those of the run before stay as `<program>.log.1`.
        environment: of all programs, with the `STACK_…` values that the configuration names.
        directory: where programs run.
    """

    def __init__(self, *, sockets: Path, logs: Path, environment: Mapping[str, str], directory: Path) -> None:
        self._sockets = sockets
        self._socket = sockets / "supervisord.sock"
        self._logs = logs
        self._directory = directory
        self._log_read = 0  # bytes of supervisord's log that were looked at
        self._environment = {
            **environment,
            "STACK_SOCKETS": str(sockets),
            "STACK_LOGS": str(logs),
            "STACK_PYTHON": shlex.quote(sys.executable),
            "STACK_TETHER": shlex.join(TETHER),
        }

    def __enter__(self) -> Self:
        if self._is_listening():
            raise SettingsError(f"another run.py uses {self._logs.parent}; stop it or choose another --data-dir")
        for log in self._logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))
        self._supervisord = self._spawn(sys.executable, "-m", "supervisor.supervisord", "-c", str(CONFIGURATION))
        try:
            self._wait_until_listening()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def start(self, *programs: str) -> None:
        """Start programs, each named `group:program`, and return at once."""
        wait = False
        for program in programs:
            self._call("startProcess", program, wait)

    def check(self) -> None:
        """See that no program has ended since the last look: for a stack that comes up, where nothing should.

        Raises:
            StackError: one has.
        """
        self._call("getState")
        for name, reason in self._new_ends().items():
            raise self._ended(name, reason)

    def watch(self, tell: Callable[[str], None]) -> None:
        """Tell which programs ended unasked since the last look; supervisord starts them again.

        Raises:
            StackError: one ended again and again right at its start, and supervisord gave up.
        """
        processes = self._call("getAllProcessInfo")
        ends = self._new_ends()
        for process in processes:
            if process["statename"] in GIVEN_UP:
                name = process["name"]
                raise self._ended(name, ends.get(name, "again and again, right at its start"))
        for name, reason in ends.items():
            # Its last line cannot be quoted: the log goes on with what it said since.
            tell(f"{name} ended ({reason}) and was started again; see {self._log(name)}")

    def _new_ends(self) -> dict[str, str]:
        """Return the programs that supervisord saw ending since the last call, and how each did.

        The log is the one place that says how a program ended which is running again.
        """
        with self._log("supervisord").open("rb") as log:
            log.seek(self._log_read)
            lines = log.read().rpartition(b"\n")[0]
        self._log_read += len(lines)
        return dict(END.findall(lines.decode(errors="replace")))

    def _ended(self, name: str, reason: str) -> StackError:
        return StackError(f"{name} ended ({reason}); {last_lines(self._log(name))}")

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - what XML-RPC carries
        # One connection per call: an interrupted one would not be usable again.
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            with ServerProxy("http://localhost", transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        except Fault as fault:
            raise StackError(f"supervisord: {fault.faultString}; {self._supervisord_lines()}") from None
        except OSError:
            raise StackError(f"supervisord ended; {self._supervisord_lines()}") from None

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with self._log("supervisord").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command
                [*TETHER, "SIGTERM", *command],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches run.py only
            )

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_listening():
            if self._supervisord.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"supervisord did not start; {self._supervisord_lines()}")
            time.sleep(0.02)

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

    def _supervisord_lines(self) -> str:
        return last_lines(self._log("supervisord"))

    def _stop(self) -> None:
        self._supervisord.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        try:
            while self._supervisord.poll() is None and time.monotonic() < deadline:
                self._is_listening()  # wakes it up: otherwise it looks at its processes once a second
                time.sleep(0.05)
            self._supervisord.wait(timeout=0)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # asked twice: what is tethered is killed with it
            self._supervisord.kill()
            self._supervisord.wait()
        for left in (*self._sockets.glob("*.sock"), self._sockets / "supervisord.pid"):  # by what was killed
            left.unlink(missing_ok=True)


def last_lines(log: Path) -> str:
    """Quote the end of a log for an error message."""
    lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.exists() else []
    return f"last lines of {log}:\n" + ("\n".join(f"    {line}" for line in lines) or "    (nothing)")
