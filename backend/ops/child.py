"""A function in a process of its own: `python -m backend.ops.child` reads what to call and writes what comes of it.

Standard library only: what the function needs, its own module imports. Both ends are ours, so pickles may pass.
"""

import os
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

PROGRESS, RESULT, ERROR = "progress", "result", "error"


def main() -> None:
    """Call `module`, `name` with `arguments` and `progress`; tell each progress, then the result or the error."""
    # Whatever prints to standard output must not come between the messages.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as messages:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        module, name, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
        function: Callable[..., Any] = getattr(import_module(module), name)
        try:
            result = function(*arguments, progress=lambda *said: _write(messages, PROGRESS, said))
        except Exception as error:  # noqa: BLE001 - a boundary: it is raised again on the other side
            _write(messages, ERROR, _told(error))
        else:
            _write(messages, RESULT, result)


def _told(error: Exception) -> Exception:
    """Return the error itself if it can be sent, and its type's name if not."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent
        return RuntimeError(type(error).__name__)
    return error


def _write(messages: BinaryIO, kind: str, content: object) -> None:
    pickle.dump((kind, content), messages)
    messages.flush()


if __name__ == "__main__":
    main()
