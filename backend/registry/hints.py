"""Hints that a model changed, so that processes look at once; they may be lost, and each process looks anyway."""

import os
import time

import structlog
from redis.client import PubSub
from redis.exceptions import RedisError

from backend.jobs.broker import make_redis
from backend.settings import Settings

log = structlog.get_logger()

CHANNEL = "sanguine.models"


class Hints:
    """Gives hints, and waits for them in one thread of each process."""

    def __init__(self, settings: Settings) -> None:
        self._redis = make_redis(settings)  # opens nothing yet, and anew after a fork
        self._pubsub: PubSub | None = None
        self._pid = 0

    def give(self, model: str) -> None:
        """Say that something was decided about a model."""
        try:
            self._redis.publish(CHANNEL, model)
        except RedisError as error:
            log.debug("hint_lost", error=type(error).__name__)

    def wait(self, seconds: float) -> None:
        """Return at the next hint, at the latest after so many seconds."""
        until = time.monotonic() + seconds
        try:
            if self._pubsub is None or self._pid != os.getpid():
                self._pubsub, self._pid = (
                    PubSub(self._redis.connection_pool, ignore_subscribe_messages=True),
                    os.getpid(),
                )
                self._pubsub.subscribe(CHANNEL)
            while (left := until - time.monotonic()) > 0:
                if self._pubsub.get_message(timeout=left) is not None:
                    return
        except RedisError as error:
            log.debug("hints_deaf", error=type(error).__name__)
            self._pubsub = None
            time.sleep(max(until - time.monotonic(), 0.0))
