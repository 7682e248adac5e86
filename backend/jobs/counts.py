"""Counts of what clients ask for, kept on the broker's server for all processes."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage

from backend.jobs.broker import make_redis
from backend.settings import Settings

SCHEME = "broker"
OFFLINE = 30.0  # seconds for which each process counts by itself after the broker did not answer

T = TypeVar("T")

log = structlog.get_logger()


class SharedCounts(Storage):
    """What the library `limits` counts in; while the broker does not answer, each process counts alone."""

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - as `limits` declares it; Flask-Limiter finds this class by it

    def __init__(self, uri: str | None = None, *, settings: Settings) -> None:
        super().__init__(uri)
        self._settings = settings
        self._pid = 0
        self._alone: Storage
        self._shared: Storage
        self._alone_until = 0.0

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Return the errors that mean that nothing can be counted: there are none."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count that ends after `expiry` seconds; return what it has come to."""
        return self._ask(lambda counts: counts.incr(key, expiry, amount))

    def get(self, key: str) -> int:
        """Return a count."""
        return self._ask(lambda counts: counts.get(key))

    def get_expiry(self, key: str) -> float:
        """Return when a count ends, in seconds since 1970."""
        return self._ask(lambda counts: counts.get_expiry(key))

    def check(self) -> bool:
        """Say whether anything can be counted."""
        return True

    def reset(self) -> int | None:
        """Forget all counts."""
        return self._ask(lambda counts: counts.reset())

    def clear(self, key: str) -> None:
        """Forget a count."""
        self._ask(lambda counts: counts.clear(key))

    def _ask(self, ask: Callable[[Storage], T]) -> T:
        if self._pid != os.getpid():  # connections do not survive a fork
            self._open()
        if time.monotonic() < self._alone_until:
            return ask(self._alone)
        try:
            return ask(self._shared)
        except StorageError as error:
            log.warning("rate_counted_alone", seconds=OFFLINE, error=type(error.storage_error).__name__)
            self._alone_until = time.monotonic() + OFFLINE
            return ask(self._alone)

    def _open(self) -> None:
        pool = make_redis(self._settings).connection_pool
        self._alone = MemoryStorage()
        self._shared = RedisStorage("redis://", connection_pool=pool, wrap_exceptions=True)
        self._pid = os.getpid()
