"""Beat: fires the schedules of the database, and asks for the engine's upkeep; nothing of it is kept in a file."""

from typing import Any

import structlog
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from flask import Flask
from kombu import Producer
from sqlalchemy.exc import DBAPIError

from backend.app import create_app
from backend.clock import utc_now
from backend.errors import SanguineError
from backend.jobs.broker import MAINTENANCE_QUEUE
from backend.jobs.schedules.book import current_book
from backend.jobs.schedules.fire import fire_due
from backend.settings import Settings
from workers.tasks import RECONCILE, SWEEP

log = structlog.get_logger()

SWEEP_SECONDS = 10.0  # until what a finished or cancelled job left is removed
TICK = 1.0  # seconds between looks at the schedules


def beat_schedule(settings: Settings) -> dict[str, Any]:
    """Return beat's own entries; a late one is worthless, so its message expires with the next."""
    return {
        RECONCILE: {
            "task": RECONCILE,
            "schedule": settings.reconcile_seconds,
            "options": {"queue": MAINTENANCE_QUEUE, "expires": settings.reconcile_seconds, "retry": False},
        },
        SWEEP: {
            "task": SWEEP,
            "schedule": SWEEP_SECONDS,
            "options": {"queue": MAINTENANCE_QUEUE, "expires": SWEEP_SECONDS, "retry": False},
        },
    }


class RowScheduler(Scheduler):
    """Celery's beat, reading the schedules from their rows; any number of beats may run.

    Neither a database nor a broker that is away ends or stops it: it says so and looks again a second later.
    """

    max_interval = TICK  # type: ignore[assignment] # the stubs want whole seconds
    producer = None  # type: ignore[assignment] # each message takes a connection of its own: never wait for a broker
    _application: Flask | None = None

    def tick(self, *args: Any, **options: Any) -> float:
        """Fire what is due, send what is due of beat's own entries; return the seconds until the next look."""
        self._fire()
        return min(super().tick(*args, **options), TICK)

    def apply_entry(self, entry: ScheduleEntry, producer: Producer | None = None) -> None:  # noqa: ARG002 - Celery's signature
        """Send one of beat's own entries; one that is lost comes again."""
        try:
            self.apply_async(entry, advance=False)
        except SchedulingError as error:
            log.warning("beat_cannot_send", entry=entry.name, error=type(error.__cause__).__name__)

    def _fire(self) -> None:
        if self._application is None:
            self._application = create_app()
        try:
            with self._application.app_context():
                fire_due(current_book(), now=utc_now())
        except (SanguineError, DBAPIError) as error:  # DBAPIError: for example before the first migration
            log.warning("beat_cannot_fire", error=type(error).__name__)
