"""A domain whose jobs do nothing but leave traces: short ones, long ones with checkpoints, and ones that kill."""

import os
import signal
import time
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from backend.domains.domain import Domain
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from tests.chaos.tables import Chunk, Effect

PATIENCE = 25  # further attempts: more than faults can take from one job, so that only poison ends dead


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: str  # of the submission, so that a job which a repeated POST doubled is seen
    seconds: float  # of each chunk
    chunks: int = 1


class Done(BaseModel):
    attempt: int


def leave_effect(request: Request, context: JobContext) -> Done:
    time.sleep(request.seconds)
    context.store(Effect(job_id=context.job_id, attempt=context.attempt))
    return Done(attempt=context.attempt)


def leave_effects(requests: Sequence[Request], contexts: Sequence[JobContext]) -> list[Done]:
    return [leave_effect(request, context) for request, context in zip(requests, contexts, strict=True)]


def leave_chunks(request: Request, context: JobContext) -> Done:
    done = context.checkpoint["done"] if context.checkpoint else 0
    for number in range(done, request.chunks):
        time.sleep(request.seconds)
        with context.commit({"done": number + 1}) as session:
            session.add(Chunk(job_id=context.job_id, number=number, attempt=context.attempt))
        context.progress((number + 1) / request.chunks)
    context.store(Effect(job_id=context.job_id, attempt=context.attempt))
    return Done(attempt=context.attempt)


def kill_the_process(request: Request, context: JobContext) -> Done:
    context.store(Effect(job_id=context.job_id, attempt=context.attempt))
    time.sleep(request.seconds)
    os.kill(os.getpid(), signal.SIGKILL)
    return Done(attempt=context.attempt)


EFFECT = JobKind(
    name="chaos.effect",
    path="/chaos/effect",
    summary="Leave one row",
    request=Request,
    result=Done,
    run=leave_effect,
    run_many=leave_effects,
    claims=8,
    timeout=20,
    retries=PATIENCE,
)
CHUNKS = JobKind(
    name="chaos.chunks",
    path="/chaos/chunks",
    summary="Leave a row for each chunk",
    request=Request,
    result=Done,
    run=leave_chunks,
    timeout=120,
    retries=PATIENCE,
    queue="batch",
)
POISON = JobKind(
    name="chaos.poison",
    path="/chaos/poison",
    summary="Kill the interactive worker",
    request=Request,
    result=Done,
    run=kill_the_process,
    timeout=20,
    retries=2,
)
BATCH_POISON = JobKind(
    name="chaos.batch_poison",
    path="/chaos/batch-poison",
    summary="Kill a process of the batch worker",
    request=Request,
    result=Done,
    run=kill_the_process,
    timeout=20,
    retries=2,
    queue="batch",
)
DOMAIN = Domain(name="chaos", tables="tests.chaos.tables", job_kinds=(EFFECT, CHUNKS, POISON, BATCH_POISON))
