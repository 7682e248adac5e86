"""The workers' Celery application with jobs that tests can interrupt, and a watchdog that looks often."""

import time
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from backend.clock import utc_now
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from backend.jobs.tables import ModelPredictionLog
from workers import lifecycle
from workers.app import create_celery
from workers.tasks import add_job_task
from workers.watchdog import Watchdog

CHUNK_SECONDS = 0.1
LOOK_EVERY = 1.5


class Work(BaseModel):
    until: str = ""  # a file: chunks are done until it is there; without one, a single chunk
    deaf_seconds: float = 0.0  # in which it checks nothing


class Done(BaseModel):
    chunks: int


def effect(context: JobContext, chunk: int) -> ModelPredictionLog:
    """A row that is there once for each chunk that was done once."""
    return ModelPredictionLog(
        job_id=context.job_id,
        at=utc_now(),
        model=f"chunk-{chunk}",
        version="1",
        sha256="0" * 64,
        calls=1,
        rows=1,
        seconds=0.0,
    )


def work(request: Work, context: JobContext) -> Done:
    time.sleep(request.deaf_seconds)
    done = context.checkpoint["done"] if context.checkpoint else 0
    while not done or (request.until and not Path(request.until).exists()):
        time.sleep(CHUNK_SECONDS)
        with context.commit({"done": done + 1}) as session:
            session.add(effect(context, done))
        done += 1
    return Done(chunks=done)


def count(_request: Work, context: JobContext) -> Done:
    context.store(effect(context, 0))
    return Done(chunks=1)


# One attempt each: a lost one is a dead job, and a test sees it.
SHORT = JobKind(
    name="test.short", path=None, summary="", request=Work, result=Done, run=count, timeout=10, queue="interactive"
)
LONG = JobKind(name="test.long", path=None, summary="", request=Work, result=Done, run=work, timeout=120, queue="batch")
HUNG = JobKind(name="test.hung", path=None, summary="", request=Work, result=Done, run=work, timeout=1, retries=1)

lifecycle.Watchdog = partial(Watchdog, every=LOOK_EVERY)  # type: ignore[assignment,misc]
app = create_celery()
for kind in (SHORT, LONG, HUNG):
    add_job_task(app, kind)
