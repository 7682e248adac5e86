"""Many small jobs at once: one call of their function, one commit of their results."""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import JSON, Select, Update, Uuid, bindparam, cast, func, insert, select, update

from backend.clock import utc_now
from backend.errors import AttemptEnded
from backend.extensions import UtcDateTime, transaction
from backend.jobs.claim import Claim
from backend.jobs.context import JobContext
from backend.jobs.finish import model_log
from backend.jobs.kinds import JobKind
from backend.jobs.states import AttemptOutcome, JobState
from backend.jobs.tables import ATTEMPT, JOB, MODEL_LOG

log = structlog.get_logger()

Attempt = tuple[Claim, JobContext]


def run_together(kind: JobKind, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Run several attempts with one call of `run_many`; returns those that are left to be run one by one.

    These are the ones whose request does not fit, that must end, or that the call did not answer; all of them when it
    raised, or what they came to could not be stored. Run by itself, each ends with the error that is its own.
    """
    ready, requests = _validated(kind, attempts)
    if not ready:
        return list(attempts)
    models = ready[0][1].models
    for _, context in ready:
        context.models = models
        context.begin(timeout=kind.timeout)
    results = _answers(kind, requests, [context for _, context in ready])
    done = [
        (claimed, context, result)
        for (claimed, context), result in zip(ready, results, strict=True)
        if result is not None and _may_end(context)
    ]
    try:
        owned = _succeed(done) if done else set()
    except Exception as error:  # noqa: BLE001 - a boundary: stored by itself, the one at fault ends with its error
        log.warning("run_many_not_stored", kind=kind.name, jobs=len(done), error=type(error).__name__)
        done, owned = [], set()
    answered = {claimed.job_id for claimed, _, _ in done}
    if lost := answered - owned:
        log.warning("lease_lost", kind=kind.name, jobs=len(lost))
    log.info("jobs_succeeded", kind=kind.name, jobs=len(owned))
    left = [(claimed, context) for claimed, context in attempts if claimed.job_id not in answered]
    for _, context in left:
        context.start_over()
    return left


def _validated(kind: JobKind, attempts: Sequence[Attempt]) -> tuple[list[Attempt], list[BaseModel]]:
    ready, requests = [], []
    for claimed, context in attempts:
        try:
            requests.append(kind.request.model_validate(claimed.request))
        except ValidationError:
            continue
        ready.append((claimed, context))
    return ready, requests


def _answers(
    kind: JobKind, requests: Sequence[BaseModel], contexts: Sequence[JobContext]
) -> Sequence[BaseModel | None]:
    if kind.run_many is None:
        return [None] * len(requests)
    try:
        results = kind.run_many(requests, contexts)
    except Exception as error:  # noqa: BLE001 - a boundary: run by itself, the one that is at fault ends with its error
        log.warning("run_many_failed", kind=kind.name, jobs=len(requests), error=type(error).__name__)
        return [None] * len(requests)
    if len(results) != len(requests):
        log.error("run_many_failed", kind=kind.name, jobs=len(requests), answers=len(results))
        return [None] * len(requests)
    return results


def _may_end(context: JobContext) -> bool:
    try:
        context.check()
    except AttemptEnded:
        return False
    return True


def _succeed(done: Sequence[tuple[Claim, JobContext, BaseModel]]) -> set[UUID]:
    """Write what `finish.succeed` writes, for all in one transaction; returns the jobs that these attempts owned."""
    now = utc_now()
    attempts = {claimed.job_id: claimed.attempt for claimed, _, _ in done}
    with transaction() as session:
        held = session.execute(_held(), {"ids": list(attempts)})
        owned = {row.id for row in held if row.attempt == attempts[row.id]}
        ours = [(claimed, context, result) for claimed, context, result in done if claimed.job_id in owned]
        if not ours:
            return owned
        results = {claimed.job_id.hex: result.model_dump(mode="json") for claimed, _, result in ours}
        share = ours[0][1].models.share(len(done))
        session.execute(_end_jobs(), {"results": results, "ended": now, "seconds": share.seconds})
        session.execute(_end_attempts(), {"ids": list(owned), "ended": now})
        for _, context, _ in ours:
            session.add_all(context.stored)
        if rows := [row for claimed, _, _ in ours for row in model_log(claimed.job_id, share, now)]:
            session.execute(insert(MODEL_LOG), rows)
    return owned


@cache
def _held() -> Select[tuple[UUID, int]]:
    ids = bindparam("ids", expanding=True, type_=Uuid)
    running = (JOB.c.id.in_(ids), JOB.c.state == JobState.RUNNING)
    return select(JOB.c.id, JOB.c.attempt).where(*running).order_by(JOB.c.id).with_for_update()


@cache
def _end_jobs() -> Update:
    result = func.json_each(bindparam("results", type_=JSON)).table_valued("key", "value")
    return (
        update(JOB)
        .where(JOB.c.id == cast(result.c.key, Uuid))
        .values(
            state=JobState.SUCCEEDED,
            result=result.c.value,
            finished_at=bindparam("ended", type_=UtcDateTime),
            model_seconds=bindparam("seconds"),
            progress=1.0,
            lease_until=None,
            checkpoint=None,
            error_code=None,
            error_message=None,
        )
    )


@cache
def _end_attempts() -> Update:
    ids = bindparam("ids", expanding=True, type_=Uuid)
    return (
        update(ATTEMPT)
        .where(ATTEMPT.c.job_id.in_(ids), JOB.c.id == ATTEMPT.c.job_id, ATTEMPT.c.number == JOB.c.attempt)
        .values(outcome=AttemptOutcome.SUCCEEDED, finished_at=bindparam("ended", type_=UtcDateTime))
    )
