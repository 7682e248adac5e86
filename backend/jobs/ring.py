"""The doorbell: tells the broker that a job waits, and never makes the caller wait for the broker.

A ring carries the job's id and nothing else. It may be lost at any moment (broker down, process killed, queue full):
the job row is the truth, and the reconciler rings again.
"""

import os
import queue
import threading
from typing import cast
from uuid import UUID

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport.virtual import Channel

from backend.extensions import current
from backend.jobs.broker import make_celery
from backend.settings import Settings

log = structlog.get_logger()

BACKLOG = 10_000  # rings kept while the broker is slow; what does not fit is rung by the reconciler


class Doorbell:
    """Rings from one background thread per process, started at the first ring and again after a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._pid = 0
        self._rings: queue.Queue[tuple[str, str, UUID]]
        self._celery: Celery

    def ring(self, kind: str, job_queue: str, job_id: UUID) -> None:
        """Hand one ring to the background thread; returns at once whatever the broker does."""
        if self._pid != os.getpid():
            self._start()
        try:
            self._rings.put_nowait((kind, job_queue, job_id))
        except queue.Full:
            log.warning("ring_dropped", job_id=str(job_id), reason="backlog")

    def publish(self, kind: str, job_queue: str, job_id: UUID) -> None:
        """Ring now, in this thread.

        Raises:
            kombu.exceptions.OperationalError: the broker does not answer within a few seconds.
        """
        if self._pid != os.getpid():
            self._start()
        publish(self._celery, kind, job_queue, job_id)

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

    def _run(self, rings: "queue.Queue[tuple[str, str, UUID]]") -> None:
        while True:
            kind, job_queue, job_id = rings.get()
            try:
                publish(self._celery, kind, job_queue, job_id)
            except OperationalError as error:
                log.warning("ring_lost", job_id=str(job_id), error=type(error).__name__)


def publish(celery: Celery, kind: str, job_queue: str, job_id: UUID) -> None:
    """Send the one message of a job: the task is named after the kind, its only argument is the id."""
    celery.send_task(
        kind,
        args=(str(job_id),),
        queue=job_queue,
        ignore_result=True,
        retry=False,
    )


def current_doorbell() -> Doorbell:
    """Return the doorbell of the current application."""
    return cast("Doorbell", current("doorbell"))
