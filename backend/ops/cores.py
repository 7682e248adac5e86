"""The cores a process uses. One that spends its time in Python works on one at a time, whatever it may use.

Its threads take turns, and each turn that begins on another core begins with cold caches: over HTTP, a worker of the
API that is kept on one core answers up to three times as many requests (docs/adr/0016-api-server.md).
"""

import os
import sys
from collections.abc import Collection

_before: frozenset[int] | None = None


def stay_on_one(number: int) -> None:
    """Keep this process, and what it starts, on one of its cores; processes of different numbers on different ones.

    Linux only, nothing elsewhere.
    """
    global _before  # noqa: PLW0603 - one per process
    if sys.platform == "linux":
        _before = frozenset(os.sched_getaffinity(0))
        cores = sorted(_before)
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def of_machine() -> list[int]:
    """Return the cores that this process might use before it stayed on one, for a process that it starts."""
    if sys.platform != "linux":
        return []
    return sorted(os.sched_getaffinity(0) if _before is None else _before)


def use(cores: Collection[int]) -> None:
    """Let this process use all of `cores`; none: what it uses already."""
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, cores)
