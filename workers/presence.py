"""The row by which a worker is known to be there: written while the process lives, removed when it is asked to stop."""

import threading
from typing import Any

import structlog
from flask import Flask
from sqlalchemy.exc import DBAPIError

from backend.errors import SanguineError
from backend.jobs.workers import SEEN_EVERY, register_worker, worker_left, worker_seen
from workers.watchdog import Watchdog

log = structlog.get_logger()

FAREWELL_SECONDS = 2.0


class Presence:
    """Writes the row from a thread of its own: a database that hangs holds up neither the worker nor its watchdog."""

    def __init__(self, app: Flask, watchdog: Watchdog, *, name: str, **columns: Any) -> None:
        self._app = app
        self._watchdog = watchdog
        self._name = name
        self._columns = columns
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Enter the worker and say from now on that it lives."""
        self._thread.start()

    def leave(self) -> None:
        """Remove the row soon; callable from a signal handler, for nothing else holds the event's lock for long."""
        self._left.set()

    def join(self) -> None:
        """Wait until the row is removed, but not for a database that is away."""
        self._thread.join(FAREWELL_SECONDS)

    def _run(self) -> None:
        known = self._show(known=False)
        while not self._left.wait(SEEN_EVERY.total_seconds()):
            known = self._show(known=known)
        with self._app.app_context():
            try:
                worker_left(self._name)
            except (SanguineError, DBAPIError) as error:
                log.warning("worker_left_missed", error=type(error).__name__)

    def _show(self, *, known: bool) -> bool:
        """Write the row; returns whether it is there."""
        with self._app.app_context():
            try:
                if not known or not worker_seen(self._name, heard_at=self._watchdog.heard_at):
                    register_worker(name=self._name, **self._columns)
            except (SanguineError, DBAPIError) as error:  # DBAPIError: for example before the first migration
                log.warning("worker_seen_missed", error=type(error).__name__)
                return False
        return True
