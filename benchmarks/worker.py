"""The workers' Celery application with the bench's job kind beside the others, for `celery -A benchmarks.worker`."""

from benchmarks.predict import PREDICT
from workers.app import create_celery
from workers.tasks import add_job_task

app = create_celery()
add_job_task(app, PREDICT)
