"""What may be written of an error: its class, the places it passed and the source code that raised it; never its text.

The text may quote data: what a driver was given, what a caller sent. Source code was there before any data.
"""

import linecache
import traceback
from typing import Any, Final

from backend.errors import SanguineError
from backend.settings import PROJECT

MOST_PLACES: Final = 30
MOST_CAUSES: Final = 5
LONGEST_SOURCE: Final = 300  # characters
PACKAGES: Final = "site-packages/"


def described(error: BaseException) -> dict[str, Any]:
    """Return an error as fields of a log line.

    `error` is its class, `code` that of our own, `at` where it passed, `source` the statement of ours that it came
    from, `because` the classes of the errors behind it, the nearest first.
    """
    found: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, SanguineError):
        found["code"] = error.code
    if getattr(error, "is_shown_in_logs", False):  # its class says that its text can hold no data
        found["text"] = str(error)
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        found["at"] = [f"{_short(one.filename)}:{one.lineno} {one.name}" for one in frames[-MOST_PLACES:]]
    ours = [one for one in frames if one.filename.startswith(f"{PROJECT}/") and PACKAGES not in one.filename]
    if ours:
        found["source"] = _source(ours[-1])
    if causes := _causes(error):
        found["because"] = causes
    return found


def _source(frame: traceback.FrameSummary) -> str:
    first = frame.lineno or 0
    numbers = range(first, (frame.end_lineno or first) + 1)
    return " ".join(linecache.getline(frame.filename, number).strip() for number in numbers)[:LONGEST_SOURCE]


def _short(path: str) -> str:
    """Return a path without where the project or its packages lie."""
    return path.rpartition(PACKAGES)[2].removeprefix(f"{PROJECT}/")


def _causes(error: BaseException) -> list[str]:
    found: list[str] = []
    behind = error.__cause__ or error.__context__
    while behind is not None and len(found) < MOST_CAUSES:
        found.append(type(behind).__name__)
        behind = behind.__cause__ or behind.__context__
    return found
