"""What beat asks for, and how often."""

from typing import Any

from backend.jobs.broker import MAINTENANCE_QUEUE
from backend.settings import Settings
from workers.tasks import RECONCILE


def beat_schedule(settings: Settings) -> dict[str, Any]:
    """Return beat's entries; a late reconcile is worthless, so its message expires with the next one."""
    return {
        RECONCILE: {
            "task": RECONCILE,
            "schedule": settings.reconcile_seconds,
            "options": {"queue": MAINTENANCE_QUEUE, "expires": settings.reconcile_seconds},
        },
    }
