"""The doorbell: tells the broker that a job waits, and never makes the caller wait for the broker.

A ring carries the job's id and nothing else. It may be lost at any moment (broker down, process killed, queue full):
the job row is the truth, and the reconciler rings again. A worker that hears a ring claims other jobs of the kind as
well, so that rings which wait behind one another are sent as fewer.
"""

import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast
from uuid import UUID

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport.virtual import Channel

from backend.extensions import current
from backend.jobs.broker import make_celery
from backend.jobs.states import Priority
from backend.settings import Settings

log = structlog.get_logger()

COALESCED = 1_000  # rings looked at together
SPACING = 0.005  # seconds; the first ring goes at once, those that come right after it are sent as few
BACKLOG = 50_000  # rings kept while the broker is slow; what does not fit is rung by the reconciler


class Ring(NamedTuple):
    """One message to be sent."""

    kind: str
    queue: str
    priority: int
    job_id: UUID


class Doorbell:
    """Rings from one background thread per process, started at the first ring and again after a fork.

    Args:
        settings: where the broker is.
        claims: for each kind how many jobs one ring serves; 1 if it is not said.
    """

    def __init__(self, settings: Settings, *, claims: Mapping[str, int] | None = None) -> None:
        self._settings = settings
        self._claims = claims or {}
        self._lock = threading.Lock()
        self._pid = 0
        self._rings: queue.Queue[Ring]
        self._celery: Celery

    def ring(self, kind: str, job_queue: str, job_id: UUID, *, priority: int = Priority.NORMAL) -> None:
        """Hand one ring to the background thread; returns at once whatever the broker does."""
        if self._pid != os.getpid():
            self._start()
        try:
            self._rings.put_nowait(Ring(kind, job_queue, priority, job_id))
        except queue.Full:
            log.warning("ring_dropped", job_id=str(job_id), reason="backlog")

    def publish(self, kind: str, job_queue: str, job_id: UUID, *, priority: int = Priority.NORMAL) -> None:
        """Ring now, in this thread.

        Raises:
            kombu.exceptions.OperationalError: the broker does not answer within a few seconds.
        """
        if self._pid != os.getpid():
            self._start()
        publish(self._celery, Ring(kind, job_queue, priority, job_id))

    def waiting(self, job_queue: str) -> int:
        """Return how many messages wait in a queue of the broker.

        Raises:
            kombu.exceptions.OperationalError: the broker does not answer within a few seconds.
        """
        if self._pid != os.getpid():
            self._start()
        with self._celery.connection_for_write() as connection:
            try:
                channel = cast("Channel", connection.default_channel)
                return int(channel.queue_declare(job_queue).message_count)
            except connection.connection_errors as error:
                raise OperationalError(str(error)) from error

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            # connections and queues do not survive a fork: each process has its own
            self._celery = make_celery(self._settings, impatient=True)
            self._rings = queue.Queue(maxsize=BACKLOG)
            threading.Thread(target=self._run, args=(self._rings,), name="doorbell", daemon=True).start()
            self._pid = os.getpid()

    def _run(self, rings: "queue.Queue[Ring]") -> None:
        while True:
            waiting = [rings.get()]
            while len(waiting) < COALESCED and not rings.empty():  # this thread is the only one that takes
                waiting.append(rings.get_nowait())
            for ring in coalesced(waiting, self._claims):
                try:
                    publish(self._celery, ring)
                except OperationalError as error:
                    log.warning("ring_lost", job_id=str(ring.job_id), error=type(error).__name__)
            if any(self._claims.get(ring.kind, 1) > 1 for ring in waiting):
                time.sleep(SPACING)


def coalesced(rings: Iterable[Ring], claims: Mapping[str, int]) -> list[Ring]:
    """Return as many of some rings as serve all their jobs, in their order."""
    seen: Counter[tuple[str, str, int]] = Counter()
    kept = []
    for ring in rings:
        group = ring[:3]
        if seen[group] % claims.get(ring.kind, 1) == 0:
            kept.append(ring)
        seen[group] += 1
    return kept


def publish(celery: Celery, ring: Ring) -> None:
    """Send one message: the task is named after the kind, its only argument is the id."""
    celery.send_task(
        ring.kind,
        args=(str(ring.job_id),),
        queue=ring.queue,
        priority=ring.priority,
        ignore_result=True,
        retry=False,
    )


def current_doorbell() -> Doorbell:
    """Return the doorbell of the current application."""
    return cast("Doorbell", current("doorbell"))
