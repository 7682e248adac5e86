"""The ends of an attempt. Each is one transaction, guarded by the attempt number: a late worker changes nothing."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Update, bindparam, insert, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Expired, LeaseLost
from backend.extensions import transaction
from backend.jobs.claim import Claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.parts import Parts, store_parts
from backend.jobs.states import AttemptOutcome, JobState
from backend.jobs.tables import ATTEMPT, JOB, MODEL_LOG

BACKOFF_BASE = 2.0  # seconds
BACKOFF_CAP = 300.0


def succeed(claim: Claim, result: BaseModel, context: JobContext) -> None:
    """Write the result, what the function stored, what it asked of the models, and `succeeded`, or none of it.

    Raises:
        LeaseLost: another attempt owns the job; nothing was written.
        Expired: it comes too late; nothing was written.
    """
    now = utc_now()
    if claim.finish_by is not None and now >= claim.finish_by:
        raise Expired("the job was not finished by its finish_by")
    with transaction() as session:
        _leave_running(
            session,
            claim,
            now,
            outcome=AttemptOutcome.SUCCEEDED,
            state=JobState.SUCCEEDED,
            result=result.model_dump(mode="json"),
            finished_at=now,
            progress=1.0,
            checkpoint=None,
            error_code=None,
            error_message=None,
            model_seconds=context.models.seconds,
        )
        session.add_all(context.stored)
        if rows := model_log(claim.job_id, context.models, now):
            session.execute(insert(MODEL_LOG), rows)


def split(claim: Claim, parts: Parts) -> None:
    """Leave the work to parts; the run after them is one more attempt, and costs none.

    Raises:
        LeaseLost: another attempt owns the job; nothing was written.
    """
    with transaction() as session:
        _leave_running(
            session,
            claim,
            utc_now(),
            outcome=AttemptOutcome.SPLIT,
            state=JobState.WAITING,
            checkpoint=parts.checkpoint,
            max_attempts=claim.max_attempts + 1,
            parts_at_once=parts.at_once,
        )
        store_parts(session, claim.job_id, parts)


def hand_back(claim: Claim) -> None:
    """Leave the job to another worker, from the checkpoint of this attempt, which costs none; the caller rings.

    Raises:
        LeaseLost: another attempt owns the job; nothing was written.
    """
    now = utc_now()
    with transaction() as session:
        _leave_running(
            session,
            claim,
            now,
            outcome=AttemptOutcome.RETURNED,
            state=JobState.QUEUED,
            max_attempts=claim.max_attempts + 1,
            available_at=now,
            rung_at=None,
        )
        _end_if_asked(session, claim, now)


def fail(claim: Claim, *, code: str, message: str) -> None:
    """End the job for good: trying again would end the same way."""
    _end(claim, AttemptOutcome.FAILED, JobState.FAILED, error_code=code, error_message=message)


def expire(claim: Claim, *, message: str) -> None:
    """End a job whose time to finish has passed while it ran."""
    _end(claim, AttemptOutcome.EXPIRED, JobState.EXPIRED, error_code=Expired.code, error_message=message)


def cancel_running(claim: Claim) -> None:
    """End a job whose attempt agreed to stop."""
    _end(claim, AttemptOutcome.CANCELLED, JobState.CANCELLED)


def _end(claim: Claim, outcome: AttemptOutcome, state: JobState, **values: str) -> None:
    now = utc_now()
    with transaction() as session:
        _leave_running(session, claim, now, outcome=outcome, state=state, finished_at=now, **values)


def retry(claim: Claim, *, code: str, message: str, backoff: Sequence[float] = ()) -> JobState:
    """Queue the job again after a pause; one with no attempt left is dead, one that was to be cancelled is."""
    now = utc_now()
    last = claim.attempt >= claim.max_attempts
    with transaction() as session:
        _leave_running(
            session,
            claim,
            now,
            outcome=AttemptOutcome.FAILED if last else AttemptOutcome.RETRIED,
            state=JobState.DEAD if last else JobState.QUEUED,
            error_code=code,
            error_message=message,
            finished_at=now if last else None,
            available_at=now if last else now + pause_after(claim.attempt, backoff),
            rung_at=None,
        )
        if last:
            return JobState.DEAD
        return JobState.CANCELLED if _end_if_asked(session, claim, now) else JobState.QUEUED


def _end_if_asked(session: Session, claim: Claim, now: datetime) -> bool:
    """Cancel a job that is queued again although somebody asked for its cancel; returns whether it was so."""
    asked = (JOB.c.id == claim.job_id, JOB.c.state == JobState.QUEUED, JOB.c.cancel_requested_at.is_not(None))
    ended = update(JOB).where(*asked).values(state=JobState.CANCELLED, finished_at=now).returning(JOB.c.id)
    return session.scalar(ended) is not None


def pause_after(attempt: int, backoff: Sequence[float] = ()) -> timedelta:
    """Return the pause after a failed attempt, shortened by up to a half: 2, 4, 8 … s up to five minutes, or as given.

    The random part keeps jobs that failed together from coming back together.
    """
    longest = backoff[min(attempt, len(backoff)) - 1] if backoff else min(BACKOFF_BASE**attempt, BACKOFF_CAP)
    return timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not a secret


def _leave_running(
    session: Session, claim: Claim, now: datetime, *, outcome: AttemptOutcome, state: JobState, **values: Any
) -> None:
    held = {"held_job": claim.job_id, "held_attempt": claim.attempt}
    job = values | {"state": state, "lease_until": None}
    moved: CursorResult[Any] = session.execute(  # type: ignore[assignment] # an UPDATE gives a cursor result
        _leave_job(tuple(job)), held | _new(job)
    )
    if moved.rowcount != 1:
        raise LeaseLost(f"attempt {claim.attempt} of job {claim.job_id} no longer owns it")
    attempt = {
        "outcome": outcome,
        "finished_at": now,
        "error_code": values.get("error_code"),
        "error_message": values.get("error_message"),
    }
    session.execute(_end_attempt(tuple(attempt)), held | _new(attempt))


@cache
def _leave_job(columns: tuple[str, ...]) -> Update:
    held = (JOB.c.id == bindparam("held_job"), JOB.c.attempt == bindparam("held_attempt"))
    return update(JOB).where(*held, JOB.c.state == JobState.RUNNING).values(_to_set(columns))


@cache
def _end_attempt(columns: tuple[str, ...]) -> Update:
    held = (ATTEMPT.c.job_id == bindparam("held_job"), ATTEMPT.c.number == bindparam("held_attempt"))
    return update(ATTEMPT).where(*held).values(_to_set(columns))


def _to_set(columns: tuple[str, ...]) -> dict[str, Any]:
    return {column: bindparam(f"new_{column}") for column in columns}  # the plain names are SQLAlchemy's own


def _new(values: dict[str, Any]) -> dict[str, Any]:
    return {f"new_{column}": value for column, value in values.items()}


def model_log(job_id: UUID, models: RecordingModels, now: datetime) -> list[dict[str, Any]]:
    """Return the rows of the log of model calls for what one attempt asked."""
    rows = []
    for name, use in models.uses.items():
        manifest = models.manifest(name)
        rows.append(
            {
                "job_id": job_id,
                "at": now,
                "model": name,
                "version": manifest.version,
                "sha256": manifest.sha256,
                "calls": use.calls,
                "rows": use.rows,
                "seconds": use.seconds,
            }
        )
    return rows
