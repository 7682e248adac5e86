"""Staying with what is to be served: a thread in each process that has loaded a model."""

import contextlib
import ctypes
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

import structlog

from backend.errors import Unavailable

log = structlog.get_logger()

LOOK_EVERY = 0.5  # seconds between looks, if nobody says earlier that something changed
TELL_EVERY = 5.0  # seconds between reports when nothing changed


class Follower(Protocol):
    """What the thread does again and again."""

    def look(self) -> bool:
        """Load what is to be served now; say whether anything changed."""

    def tell(self, *, again: bool) -> None:
        """Report what is served if it is not what was told last, or `again`."""

    def wait(self, seconds: float) -> None:
        """Return when something may have changed."""


class FollowingThread:
    """Looks until the follower is gone; started on first use, and again in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0

    def ensure(self, follower: Follower) -> None:
        """Start the thread of this process unless it runs."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=_follow, args=(weakref.ref(follower),), name="models", daemon=True).start()

    def forget(self) -> None:
        """Start anew in a forked child, where a thread of the parent may have held the lock."""
        self._lock = threading.Lock()


def _follow(find: Callable[[], Follower | None]) -> None:
    told = 0.0
    while (follower := find()) is not None:
        try:
            if follower.look():
                give_back_memory()
            again = time.monotonic() - told > TELL_EVERY
            follower.tell(again=again)
            if again:
                told = time.monotonic()
            follower.wait(LOOK_EVERY)
        except Unavailable as error:
            log.warning("models_not_followed", reason=error)
            time.sleep(LOOK_EVERY)
        del follower


def give_back_memory() -> None:
    """Let the C library return what a model that was dropped has left; it would keep it for itself."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # other C libraries than glibc have no such function
            ctypes.CDLL(None).malloc_trim(0)
