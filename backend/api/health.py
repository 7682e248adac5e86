"""Health over HTTP: live says that the process runs, ready whether it can serve, health says how everything is."""

from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

import structlog
from flask import Blueprint, Response
from kombu.exceptions import OperationalError
from pydantic import BaseModel, Field

from backend.api.answers import answer
from backend.api.guard import open_to_all
from backend.errors import Unavailable
from backend.jobs.kinds import QUEUES
from backend.jobs.ring import current_doorbell
from backend.jobs.views import count_unfinished
from backend.jobs.workers import present_workers

log = structlog.get_logger()

blueprint = Blueprint("health", __name__)


class Status(StrEnum):
    """`degraded`: requests are accepted and wait; `unavailable`: they are refused."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class Worker(BaseModel):
    """One worker process."""

    name: str
    queues: list[str]
    models: dict[str, str | None] = Field(description="Digest of the weights in memory; null when loading failed.")
    started_at: datetime
    seen_at: datetime = Field(description="When it last said that it lives.")
    heard_at: datetime | None = Field(description="When it last received something from the broker, or was at work.")


class Health(BaseModel):
    """How the installation is."""

    status: Status
    problems: list[str] = Field(default_factory=list)
    database: bool | None = None
    broker: bool | None = None
    workers: list[Worker] = Field(default_factory=list)
    queued: int | None = None
    running: int | None = None


@blueprint.get("/health/live")
@open_to_all
def live() -> Response:
    """Say that the process runs, and nothing about what it depends on."""
    return answer(Health(status=Status.OK))


@blueprint.get("/health")
@blueprint.get("/health/ready")
@open_to_all
def ready() -> Response:
    """Say whether requests can be served: 503 without the database, `degraded` without the broker or workers."""
    try:
        counts = count_unfinished()
        workers = present_workers()
    except Unavailable as error:
        body = Health(status=Status.UNAVAILABLE, problems=[str(error)], database=False)
        return answer(body, status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "5"})
    broker = _broker_answers()
    problems = [] if broker else ["the broker does not answer: jobs are accepted and start when it is back"]
    deaf = [worker for worker in workers if worker.is_deaf]
    problems += [f"worker {one.name} has received nothing from the broker since {one.heard_at}" for one in deaf]
    served = {queue for worker in workers if worker not in deaf for queue in worker.queues}
    problems += [f"no worker serves the queue {queue}" for queue in QUEUES if queue not in served]
    queued, running = counts.values()
    return answer(
        Health(
            status=Status.DEGRADED if problems else Status.OK,
            problems=problems,
            database=True,
            broker=broker,
            workers=[Worker.model_validate(worker, from_attributes=True) for worker in workers],
            queued=queued,
            running=running,
        )
    )


def _broker_answers() -> bool:
    try:
        current_doorbell().waiting(QUEUES[0])
    except OperationalError as error:
        log.warning("broker_unreachable", error=type(error).__name__)
        return False
    return True
