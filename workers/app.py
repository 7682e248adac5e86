"""The Celery application of the workers and of beat: a task for each job kind, and the clock's entries."""

from celery import Celery

from backend.domains.catalog import job_kinds
from backend.jobs.broker import make_celery
from backend.settings import load_settings
from workers.lifecycle import connect_signals
from workers.schedule import beat_schedule
from workers.tasks import add_job_task, add_maintenance_tasks


def create_celery() -> Celery:
    """Return the Celery application; nothing is opened until a worker, beat or Flower starts."""
    settings = load_settings()
    celery = make_celery(settings)
    for kind in job_kinds():
        add_job_task(celery, kind)
    add_maintenance_tasks(celery, settings)
    celery.conf.update(
        beat_schedule=beat_schedule(settings),
        beat_scheduler="workers.schedule:RowScheduler",
        beat_enable_remote_control=True,  # `celery inspect ping --destination celerybeat@…` says whether it ticks
    )
    connect_signals()
    return celery
