"""An API and its workers with a job that makes steady progress: `create_api()` for gunicorn, `app` for Celery."""

import time

from flask import Flask
from pydantic import BaseModel

from backend.app import create_app
from backend.domains.catalog import domains
from backend.domains.domain import Domain
from backend.errors import Unavailable
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from workers.app import create_celery
from workers.tasks import add_job_task

STEP = 0.1  # seconds


class Steps(BaseModel):
    steps: int = 1
    first_attempt_fails: bool = False


class Walked(BaseModel):
    steps: int


def walk(request: Steps, context: JobContext) -> Walked:
    for step in range(request.steps):
        context.progress(step / request.steps, f"step {step}")
        time.sleep(STEP)
    if request.first_attempt_fails and context.attempt == 1:
        raise Unavailable("the first attempt fails")
    return Walked(steps=request.steps)


STEADY = JobKind(
    name="test.steady",
    path="/steady",
    summary="Walk",
    request=Steps,
    result=Walked,
    run=walk,
    timeout=60,
    retries=1,
    backoff=(0.1,),
)


def create_api() -> Flask:
    domain = Domain(name="test", tables="backend.jobs.tables", job_kinds=(STEADY,))
    return create_app(domains=(*domains(), domain))


app = create_celery()
add_job_task(app, STEADY)
