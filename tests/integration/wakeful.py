"""The workers' Celery application without quiet hours: plans for requests that can wait are the same day and night."""

from backend.domains.blood.outreach import pace
from workers.app import create_celery

pace.QUIET_UNTIL, pace.QUIET_FROM = 0.0, 24.0  # type: ignore[misc] # final for everybody else

app = create_celery()
