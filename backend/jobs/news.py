"""News of jobs: a worker says that a job changed, and one thread per process listens for all who wait there.

News may be lost at any moment, like rings; what is waited for is therefore also looked up now and then, all of it in
one query.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import structlog
from redis.client import PubSub
from redis.exceptions import RedisError
from sqlalchemy import select

from backend.errors import Unavailable
from backend.extensions import current, in_background, transaction
from backend.jobs.broker import make_redis
from backend.jobs.states import FINAL
from backend.jobs.tables import Job
from backend.settings import Settings

log = structlog.get_logger()

CHANNEL = "sanguine.jobs"
LOOK_EVERY = 0.25  # seconds; how late a waiter is when its news was lost
LOOK_EVERY_DEAF = 0.02  # while the broker does not answer
LISTEN_AGAIN = 1.0  # seconds between attempts to reach it


class News:
    """Tells that jobs changed, and hears it."""

    def __init__(self, settings: Settings) -> None:
        self._redis = make_redis(settings)  # opens nothing yet, and anew after a fork
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, UUID] = {}
        self._listening_in = 0  # process

    def tell(self, job_id: UUID) -> None:
        """Say that a job changed; given up within a second when the broker does not take it."""
        try:
            self._redis.publish(CHANNEL, str(job_id))
        except RedisError as error:
            log.debug("news_lost", job_id=str(job_id), error=type(error).__name__)

    @contextmanager
    def expected(self, job_id: UUID) -> Iterator[threading.Event]:
        """Give an event that is set each time the job may have changed."""
        changed = threading.Event()
        with self._lock:
            if self._listening_in != os.getpid():
                self._waiting.clear()  # after a fork: those who waited did so in the parent
                self._listening_in = os.getpid()
                in_background(self._listen_for_ever, name="news")
            self._waiting[changed] = job_id
        try:
            yield changed
        finally:
            with self._lock:
                self._waiting.pop(changed, None)

    def _listen_for_ever(self) -> None:
        deaf = False
        while True:
            try:
                with PubSub(self._redis.connection_pool, ignore_subscribe_messages=True) as pubsub:
                    pubsub.subscribe(CHANNEL)
                    deaf = False
                    self._listen(pubsub)
            except RedisError as error:
                if not deaf:  # once for each time the broker goes away
                    log.warning("news_deaf", error=type(error).__name__)
                deaf = True
            again = time.monotonic() + LISTEN_AGAIN
            while time.monotonic() < again:
                self._look()
                time.sleep(LOOK_EVERY_DEAF)

    def _listen(self, pubsub: PubSub) -> None:
        look_at = time.monotonic()  # at once: something may have happened while nobody listened
        while True:
            message = pubsub.get_message(timeout=max(0.001, look_at - time.monotonic()))
            if message is not None:
                self._wake({UUID(message["data"].decode())})
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + LOOK_EVERY

    def _look(self) -> None:
        with self._lock:
            expected = set(self._waiting.values())
        if not expected:
            return
        ended = select(Job.id).where(Job.id.in_(expected), Job.state.in_(FINAL))
        try:
            with transaction(read_only=True) as session:
                self._wake(set(session.scalars(ended)))
        except Unavailable as error:
            log.warning("news_lookup_failed", reason=str(error))

    def _wake(self, job_ids: set[UUID]) -> None:
        with self._lock:
            for changed, job_id in self._waiting.items():
                if job_id in job_ids:
                    changed.set()


def current_news() -> News:
    """Return the news of the current application."""
    return cast("News", current("news"))
