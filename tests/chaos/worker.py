"""The workers' and beat's Celery application with the chaos domain's kinds, for `celery -A tests.chaos.worker`."""

from tests.chaos.domain import DOMAIN
from workers.app import create_celery
from workers.tasks import add_job_task

app = create_celery()
for _kind in DOMAIN.job_kinds:
    add_job_task(app, _kind)
