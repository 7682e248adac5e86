"""What a module logs, whatever level the process logs at."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Logger:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def _say(self, event: str, **values: Any) -> None:
        self.said.append({"event": event, **values})

    debug = info = warning = error = _say


@contextmanager
def said_by(module: ModuleType) -> Iterator[list[dict[str, Any]]]:
    """Take down what a module logs while the block runs."""
    ours, logger = module.log, _Logger()
    module.log = logger
    try:
        yield logger.said
    finally:
        module.log = ours
