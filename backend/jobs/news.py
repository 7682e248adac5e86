"""News of jobs: a worker says that jobs changed, and one thread per process listens for all who wait there.

That thread also reads the rows and hands each waiter its own with the wake-up: one query for all that is said at once.
News may be lost at any moment, like rings; what is waited for is therefore also looked up now and then, in one query.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import structlog
from redis.client import PubSub
from redis.exceptions import RedisError
from sqlalchemy import Row, select

from backend.errors import Overloaded, Unavailable
from backend.extensions import current, in_background, transaction
from backend.jobs.broker import make_redis
from backend.jobs.tables import JOB
from backend.settings import Settings

log = structlog.get_logger()

CHANNEL = "sanguine.jobs"
MOST_WAITING = 80  # clients of one process; each holds a thread of the API, which has 96, so that others find one
FIRST_LOOK = 0.05  # seconds; how late a waiter is whose job changed before anybody listened
LOOK_EVERY = 0.25  # how late one is whose news was lost
LOOK_EVERY_DEAF = 0.02  # while the broker does not answer
ROOM_AFTER = 5.0  # seconds after which it is worth asking for a place again
LISTEN_AGAIN = 1.0  # seconds between attempts to reach it

_LARGE = {"request", "checkpoint"}  # and nothing that a client is shown
_ROWS = select(*(column for column in JOB.c if column.name not in _LARGE))


class Watch:
    """What one waiter expects: the row of its job, each time it has changed."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self._handed = threading.Event()
        self._row: Row[Any] | None = None
        self._seen: tuple[object, ...] | None = None

    def hand(self, row: Row[Any]) -> None:
        """Wake the waiter with this row, unless it tells nothing new."""
        seen = (row.state, row.attempt, row.progress, row.progress_note, row.cancel_requested_at)
        if seen != self._seen:
            self._row, self._seen = row, seen
            self._handed.set()

    @property
    def new(self) -> bool:
        """Whether nothing was handed yet."""
        return self._seen is None

    def next(self, seconds: float) -> Row[Any] | None:
        """Return the row when it has changed since the last call, None if it has not within `seconds`.

        It has every column but the request and the checkpoint. The first one says how the job is.
        """
        if not self._handed.wait(seconds):
            return None
        self._handed.clear()
        return self._row


class News:
    """Tells that jobs changed, and hears it."""

    def __init__(self, settings: Settings) -> None:
        self._redis = make_redis(settings)  # opens nothing yet, and anew after a fork
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._pid = 0
        self._listening = False

    def tell(self, *job_ids: UUID) -> None:
        """Say that jobs changed, in one message; given up within a second when the broker does not take it."""
        if not job_ids:
            return
        try:
            self._redis.publish(CHANNEL, " ".join(map(str, job_ids)))
        except RedisError as error:
            log.debug("news_lost", jobs=len(job_ids), error=type(error).__name__)

    @contextmanager
    def expected(self, job_id: UUID) -> Iterator[Watch]:
        """Watch a job while the block runs.

        Raises:
            Overloaded: as many wait in this process as may.
        """
        watch = Watch(job_id)
        self._enter(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    def _enter(self, watch: Watch) -> None:
        with self._lock:
            if self._pid != os.getpid():
                self._watches.clear()  # after a fork: those who waited did so in the parent
                self._pid, self._listening = os.getpid(), False
            if len(self._watches) >= MOST_WAITING:
                message = f"{MOST_WAITING} clients wait for jobs here already; poll the job, or try again later"
                raise Overloaded(message, retry_after=ROOM_AFTER)
            if not self._listening:
                in_background(self._listen_for_ever, name="news")
                self._listening = True
            self._watches.add(watch)

    def _listen_for_ever(self) -> None:
        try:
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
        finally:
            self._listening = False  # whatever ended it, the next who waits starts another

    def _listen(self, pubsub: PubSub) -> None:
        look_at = time.monotonic()  # at once: something may have happened while nobody listened
        while True:
            announced = _announced(pubsub, seconds=FIRST_LOOK)
            if time.monotonic() < look_at:
                self._look(announced)
            else:
                self._look()
                look_at = time.monotonic() + LOOK_EVERY

    def _look(self, announced: set[UUID] | None = None) -> None:
        """Hand out the rows of the jobs that were announced or are waited for since a moment ago, by default of all."""
        with self._lock:
            watches = [w for w in self._watches if announced is None or w.new or w.job_id in announced]
        if not watches:
            return
        wanted = {watch.job_id for watch in watches}
        try:
            with transaction(read_only=True) as session:
                rows = {row.id: row for row in session.execute(_ROWS.where(JOB.c.id.in_(wanted)))}
        except Unavailable as error:
            log.warning("news_lookup_failed", reason=error)
            return
        for watch in watches:
            if watch.job_id in rows:
                watch.hand(rows[watch.job_id])


def _announced(pubsub: PubSub, *, seconds: float) -> set[UUID]:
    """Return the jobs of every message that is there, after a wait for the first of them."""
    job_ids: set[UUID] = set()
    message = pubsub.get_message(timeout=seconds)
    while message is not None:
        job_ids.update(map(UUID, message["data"].decode().split()))
        message = pubsub.get_message(timeout=0)
    return job_ids


def current_news() -> News:
    """Return the news of the current application."""
    return cast("News", current("news"))
