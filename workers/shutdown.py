"""The wish that a worker stops, which it shares with the children that it forks.

A prefork child does not see the signals of its parent, so the wish lies in memory that both map.
"""

import mmap
import struct
import time

FINISH_SECONDS = 5.0
"""What runs may finish within this time; then it is handed back at its next check."""

_MOMENT = struct.Struct("d")


class StopWish:
    """Until when what runs may finish, once the worker was asked to stop; make it before any fork.

    There is no lock: a signal handler may ask, and a child that is killed cannot hold anything.
    """

    def __init__(self) -> None:
        self._finish_until = mmap.mmap(-1, _MOMENT.size)  # anonymous and shared: children see what the parent writes

    def ask(self) -> None:
        """Ask the worker to stop; callable from a signal handler."""
        # The monotonic clock counts for all processes of a machine alike.
        _MOMENT.pack_into(self._finish_until, 0, time.monotonic() + FINISH_SECONDS)

    def is_due(self) -> bool:
        """Whether the worker was asked to stop and the time to finish is over."""
        finish_until: float = _MOMENT.unpack_from(self._finish_until)[0]
        return 0.0 < finish_until <= time.monotonic()
