"""Work that cannot look up while it computes, such as training: in a process that a cancel ends at once."""

import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

from backend.errors import ChildLost
from backend.jobs.context import JobContext
from backend.ops.child import ERROR, PROGRESS
from backend.ops.tether import TETHER

LOOK_EVERY = 0.2  # seconds; how late a cancel, a used-up time or a lost lease ends the process
END_SECONDS = 2.0

T = TypeVar("T")


def in_child(context: JobContext, function: Callable[..., T], *arguments: object) -> T:
    """Return `function(*arguments, progress=…)`, called in a process of its own that does not outlive the attempt.

    `function` is one of a module; it, its arguments and its result travel as pickles. What it says to `progress`
    (a fraction, a note) is the job's progress.

    Raises:
        AttemptEnded: the attempt must stop; the process has been killed.
        ChildLost: the process ended without a result, for example because memory was used up.
        Exception: what the function raised.
    """
    command = [*TETHER, "SIGKILL", sys.executable, "-m", "backend.ops.child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        try:
            call = (function.__module__, function.__name__, arguments)
            return cast("T", _converse(context, process, call))
        finally:
            process.kill()


def _converse(context: JobContext, process: "subprocess.Popen[bytes]", call: tuple[object, ...]) -> Any:  # noqa: ANN401 - what the function returns
    said: queue.Queue[tuple[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, said), name="child-reader", daemon=True).start()
    threading.Thread(target=_ask, args=(process.stdin, call), name="child-writer", daemon=True).start()
    while True:
        context.check()
        try:
            message = said.get(timeout=LOOK_EVERY)
        except queue.Empty:
            continue
        if message is None:
            raise ChildLost(f"the process of the work ended without a result (exit status {_status(process)})")
        kind, content = message
        if kind == PROGRESS:
            context.progress(*content)
        elif kind == ERROR:
            raise content
        else:
            return content


def _ask(stdin: BinaryIO, call: tuple[object, ...]) -> None:
    try:
        with stdin:
            pickle.dump(call, stdin)
    except BrokenPipeError:  # it has ended; whoever reads its answer says so
        return


def _read(stdout: BinaryIO, said: "queue.Queue[tuple[str, Any] | None]") -> None:
    try:
        while True:
            said.put(pickle.load(stdout))  # noqa: S301 - from the process that we started
    except EOFError:
        said.put(None)
    except Exception as error:  # noqa: BLE001 - whatever an answer can hold; the one who waits is told
        said.put((ERROR, ChildLost(f"the answer of the process of the work cannot be read ({type(error).__name__})")))


def _status(process: "subprocess.Popen[bytes]") -> int:
    """Return how a process ended that has closed its output, which it may do and live on."""
    try:
        return process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
