"""The tasks: one for each job kind, all with the same few lines; and the engine's own upkeep."""

from datetime import timedelta
from math import ceil
from uuid import UUID

from celery import Celery

from backend.clock import utc_now
from backend.files.storage import current_storage
from backend.files.sweep import sweep
from backend.jobs.execute import execute
from backend.jobs.kinds import JobKind
from backend.jobs.reconcile import reconcile
from backend.jobs.ring import current_doorbell
from backend.settings import Settings
from backend.webhooks.dispatch import dispatch
from workers.lifecycle import current_process

RECONCILE = "jobs.reconcile"
SWEEP = "files.sweep"
PATIENCE = 2  # reconcile periods a ring may go unanswered before the bell is rung again
GRACE = 5.0  # seconds a prefork child gets to leave by itself before it is ended


def add_job_task(celery: Celery, kind: JobKind) -> None:
    """Give a job kind its Celery task; prefork pools also enforce its time from outside."""

    @celery.task(name=kind.name, shared=False, time_limit=ceil(kind.timeout * kind.claims + GRACE))
    def _run(job_id: str) -> None:
        process = current_process()
        with process.app.app_context():
            execute(kind, UUID(job_id), process.worker)


def add_maintenance_tasks(celery: Celery, settings: Settings) -> None:
    """Give the engine its upkeep tasks."""
    patience = timedelta(seconds=settings.reconcile_seconds * PATIENCE)

    @celery.task(name=RECONCILE, shared=False)
    def _reconcile() -> None:
        with current_process().app.app_context():
            reconcile(current_doorbell(), patience=patience)
            dispatch()

    @celery.task(name=SWEEP, shared=False)
    def _sweep() -> None:
        with current_process().app.app_context():
            sweep(current_storage(), now=utc_now())
