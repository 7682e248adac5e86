"""The Celery application, for `celery -A celery_worker worker|beat|flower`."""

from workers.app import create_celery

app = create_celery()
