"""Work that a job leaves to parts: jobs of another kind, after which it runs once more.

A few parts are released at a time, each when one before has ended, so that other work of their queue passes between
them. The parent is `waiting` meanwhile and holds no worker. Whatever ends a part calls `advance`, and so does the
reconciler, so that a process that dies between the two holds nothing up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Expired
from backend.extensions import transaction
from backend.jobs.kinds import JobKind
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL, JobState
from backend.jobs.tables import JOB

AT_ONCE = 4
"""Parts of one job that are released at a time: enough for as many workers, and no long wait for other jobs."""

_NOT_YET = datetime(9999, 1, 1, tzinfo=UTC)
# Why a job is given up, the most telling first: its other parts are cancelled because of the first of these.
_REASONS = (JobState.FAILED, JobState.DEAD, JobState.EXPIRED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a job's function returns to leave work to parts; it is called again with `checkpoint` when all succeeded."""

    kind: JobKind
    requests: Sequence[BaseModel]
    checkpoint: dict[str, Any]
    at_once: int = AT_ONCE  # 1: one after the other


def store_parts(session: Session, parent_id: UUID, parts: Parts) -> None:
    """Insert the parts of a job, none of them released, as urgent as the job and due when it is."""
    now = utc_now()
    parent = session.execute(select(JOB.c.priority, JOB.c.finish_by).where(JOB.c.id == parent_id)).one()
    rows = [
        {
            "id": uuid4(),
            "kind": parts.kind.name,
            "queue": parts.kind.queue,
            "state": JobState.QUEUED,
            "request": request.model_dump(mode="json", exclude_unset=True),
            "progress": 0.0,
            "attempt": 0,
            "max_attempts": parts.kind.max_attempts,
            "created_at": now,
            "available_at": _NOT_YET,
            "priority": parent.priority,
            "finish_by": parent.finish_by,
            "parent_id": parent_id,
            "part": number,
        }
        for number, request in enumerate(parts.requests)
    ]
    if rows:  # without any, the job runs again at once
        session.execute(insert(JOB), rows)


def part_results(session: Session, parent_id: UUID) -> list[dict[str, Any]]:
    """Return the results of a job's parts in their order."""
    results = select(JOB.c.result).where(JOB.c.parent_id == parent_id).order_by(JOB.c.part)
    return list(session.scalars(results))


def advance(parent_id: UUID) -> None:
    """Move a waiting job on: release its next parts, let it run again, or end it with the part that did not succeed.

    Does nothing for a job that does not wait; any number may call it at once.
    """
    now = utc_now()
    with transaction() as session:
        waits = select(JOB).where(JOB.c.id == parent_id, JOB.c.state == JobState.WAITING).with_for_update()
        parent = session.execute(waits).one_or_none()
        if parent is None:
            return
        parts = session.execute(_parts_of(parent_id)).all()
        stopped = min((part for part in parts if part.state in _REASONS), key=_how_telling, default=None)
        released: list[Row[Any]] = []
        expired = parent.finish_by is not None and parent.finish_by <= now
        if parent.cancel_requested_at is not None or stopped is not None or expired:
            _give_up(session, parent, stopped, now, of=len(parts))
        elif all(part.state == JobState.SUCCEEDED for part in parts):
            _set(session, parent_id, state=JobState.QUEUED, available_at=now, rung_at=now)
            released = [parent]
        else:
            released = _release(session, parent, parts, now)
    for job in released:
        current_doorbell().ring(job.kind, job.queue, job.id, priority=job.priority)


def waiting_jobs(session: Session) -> list[UUID]:
    """Return the jobs that wait for their parts."""
    return list(session.scalars(select(JOB.c.id).where(JOB.c.state == JobState.WAITING)))


def _parts_of(parent_id: UUID) -> Select[*tuple[Any, ...]]:
    columns = (
        *(JOB.c.id, JOB.c.kind, JOB.c.queue, JOB.c.priority, JOB.c.part),
        *(JOB.c.state, JOB.c.available_at, JOB.c.error_message),
    )
    return select(*columns).where(JOB.c.parent_id == parent_id).order_by(JOB.c.part)


def _release(session: Session, parent: Row[Any], parts: Sequence[Row[Any]], now: datetime) -> list[Row[Any]]:
    """Release as many parts as have ended, and show on the parent how many those are."""
    unfinished = [part for part in parts if part.state not in FINAL]
    held = [part for part in unfinished if part.state == JobState.QUEUED and part.available_at == _NOT_YET]
    released = held[: max(parent.parts_at_once - (len(unfinished) - len(held)), 0)]
    if released:
        ids = [part.id for part in released]
        session.execute(update(JOB).where(JOB.c.id.in_(ids)).values(available_at=now, rung_at=now))
    done = len(parts) - len(unfinished)
    _set(session, parent.id, progress=done / len(parts), progress_note=f"{done:,} of {len(parts):,} parts done")
    return released


def _give_up(session: Session, parent: Row[Any], stopped: Row[Any] | None, now: datetime, *, of: int) -> None:
    """Cancel what is left; the parent ends when the last running part has."""
    part_of = JOB.c.parent_id == parent.id
    queued, running = (JOB.c.state == state for state in (JobState.QUEUED, JobState.RUNNING))
    cancelled = {"state": JobState.CANCELLED, "cancel_requested_at": now, "finished_at": now}
    session.execute(update(JOB).where(part_of, queued).values(cancelled))
    asked = update(JOB).where(part_of, running, JOB.c.cancel_requested_at.is_(None))
    session.execute(asked.values(cancel_requested_at=now))
    if session.scalar(select(JOB.c.id).where(part_of, running).limit(1)) is not None:
        return
    if parent.cancel_requested_at is not None:
        _set(session, parent.id, state=JobState.CANCELLED, finished_at=now)
        return
    due = parent.finish_by is not None and parent.finish_by <= now
    if stopped is None or stopped.state == JobState.EXPIRED or (due and stopped.state == JobState.CANCELLED):
        late = {"error_code": Expired.code, "error_message": "the job was not finished by its finish_by"}
        _set(session, parent.id, state=JobState.EXPIRED, finished_at=now, **late)
        return
    message = f"part {stopped.part + 1} of {of} is {stopped.state}: {stopped.error_message or 'on request'}"
    ended = {"state": JobState.FAILED, "finished_at": now, "error_code": "part_failed", "error_message": message}
    _set(session, parent.id, **ended)


def _how_telling(part: Row[Any]) -> int:
    return _REASONS.index(part.state)


def _set(session: Session, job_id: UUID, **values: object) -> None:
    session.execute(update(JOB).where(JOB.c.id == job_id).values(**values))
