"""Dead letters: jobs that ended without success and wait for somebody to replay them as new jobs, or discard them."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Conflict, InputError, NotFound, wrong_fields
from backend.extensions import transaction
from backend.jobs.kinds import JobKind, current_kinds
from backend.jobs.states import JobState, Priority, Resolution
from backend.jobs.submit import check_request, ring, store_job
from backend.jobs.tables import JOB, Job
from backend.jobs.terms import Terms
from backend.jobs.views import JobView, page_of, view

log = structlog.get_logger()

MOST = 1_000
"""Dead letters that one call replays or discards."""
DEAD = (JobState.DEAD, JobState.FAILED)
_OPEN = (JOB.c.state.in_(DEAD), JOB.c.resolution.is_(None), JOB.c.parent_id.is_(None))


class DeadCount(BaseModel):
    """How many dead letters share a kind and an error."""

    kind: str
    error_code: str | None
    count: int


class DeadLetterPage(BaseModel):
    """Dead letters, the latest first."""

    jobs: list[JobView]
    next_before: datetime | None = Field(description="Pass as `before` to get the next page; null on the last one.")
    counts: list[DeadCount] = Field(description="All of them by kind and error, the most first.")


class Refused(BaseModel):
    """A dead letter that could not be dealt with."""

    job_id: UUID
    reason: str


class Replayed(BaseModel):
    """A dead letter and the job that took over its request."""

    job_id: UUID
    replay: UUID


class ReplayResult(BaseModel):
    """What became of dead letters that were to be replayed."""

    replayed: list[Replayed]
    refused: list[Refused]


class DiscardResult(BaseModel):
    """What became of dead letters that were to be discarded."""

    discarded: list[UUID]
    refused: list[Refused]


def list_dead(
    *, kind: str | None = None, error_code: str | None = None, before: datetime | None = None, limit: int
) -> DeadLetterPage:
    """Return the dead letters that are left, by the moment of their end, and how many there are of each sort."""
    letters = select(JOB).where(*_filters(kind, error_code, before))
    total = func.count()
    counted = select(JOB.c.kind, JOB.c.error_code, total).where(*_OPEN).group_by(JOB.c.kind, JOB.c.error_code)
    with transaction(read_only=True) as session:
        rows, next_before = page_of(session, letters, by=JOB.c.finished_at, limit=limit)
        counts = session.execute(counted.order_by(total.desc())).all()
    return DeadLetterPage(
        jobs=[view(row, with_result=False) for row in rows],
        next_before=next_before,
        counts=[DeadCount(kind=kind, error_code=code, count=count) for kind, code, count in counts],
    )


def find_dead(*, kind: str | None = None, error_code: str | None = None, before: datetime | None = None) -> list[UUID]:
    """Return the ids of the oldest dead letters of a sort, at most as many as one call deals with."""
    found = select(JOB.c.id).where(*_filters(kind, error_code, before)).order_by(JOB.c.finished_at).limit(MOST)
    with transaction(read_only=True) as session:
        return list(session.scalars(found))


def replay(job_id: UUID) -> JobView:
    """Submit a dead letter's request again as a new job, without its deadlines; the dead letter stays as it is.

    Raises:
        NotFound: there is no such job.
        Conflict: it is no dead letter, is dealt with already, or cannot be run by this version of the software.
        InputError: a check of its kind refuses the request by now.
    """
    with transaction(read_only=True) as session:
        kind, request = _runnable(_letter(session, job_id))
    check_request(kind, request)
    with transaction() as session:
        letter = _letter(session, job_id, lock=True)
        terms = Terms(client=letter.client, priority=Priority(letter.priority), callback=letter.callback)
        job = store_job(session, kind, request, terms=terms, replay_of=job_id)
        letter.resolution, letter.resolved_at = Resolution.REPLAYED, utc_now()
    ring(job)
    log.info("dead_letter_replayed", job_id=str(job_id), replay=str(job.id))
    return view(job)


def discard(job_id: UUID, *, reason: str) -> None:
    """Take a dead letter off the list for good, and keep why.

    Raises:
        NotFound: there is no such job.
        Conflict: it is no dead letter, or is dealt with already.
    """
    with transaction() as session:
        letter = _letter(session, job_id, lock=True)
        letter.resolution, letter.resolution_reason, letter.resolved_at = Resolution.DISCARDED, reason, utc_now()
    log.info("dead_letter_discarded", job_id=str(job_id))


def replay_all(job_ids: Sequence[UUID]) -> ReplayResult:
    """Replay dead letters; one that cannot be is said so and keeps none of the others back."""
    replayed: list[Replayed] = []

    def one(job_id: UUID) -> None:
        replayed.append(Replayed(job_id=job_id, replay=replay(job_id).id))

    return ReplayResult(refused=_each(job_ids, one), replayed=replayed)


def discard_all(job_ids: Sequence[UUID], *, reason: str) -> DiscardResult:
    """Discard dead letters; one that cannot be is said so and keeps none of the others back."""
    discarded: list[UUID] = []

    def one(job_id: UUID) -> None:
        discard(job_id, reason=reason)
        discarded.append(job_id)

    return DiscardResult(refused=_each(job_ids, one), discarded=discarded)


def _each(job_ids: Sequence[UUID], deal_with: Callable[[UUID], None]) -> list[Refused]:
    refused = []
    for job_id in job_ids:
        try:
            deal_with(job_id)
        except InputError as error:
            refused.append(Refused(job_id=job_id, reason=str(error)))
    return refused


def _filters(kind: str | None, error_code: str | None, before: datetime | None) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = list(_OPEN)
    if kind is not None:
        filters.append(JOB.c.kind == kind)
    if error_code is not None:
        filters.append(JOB.c.error_code == error_code)
    if before is not None:
        filters.append(JOB.c.finished_at < before)
    return filters


def _letter(session: Session, job_id: UUID, *, lock: bool = False) -> Job:
    job = session.get(Job, job_id, with_for_update=lock)
    if job is None:
        raise NotFound("job", job_id)
    if job.state not in DEAD:
        raise Conflict(f"job {job_id} is {job.state}; only failed and dead jobs are dead letters")
    if job.parent_id is not None:
        raise Conflict(f"job {job_id} is a part of job {job.parent_id}; deal with that one")
    if job.resolution is not None:
        raise Conflict(f"job {job_id} is already {job.resolution}")
    return job


def _runnable(job: Job) -> tuple[JobKind, BaseModel]:
    kind = current_kinds().get(job.kind)
    if kind is None:
        raise Conflict(
            f"job {job.id} is of kind {job.kind}, which this version of the software does not have; discard it"
        )
    if not kind.replayable:
        raise Conflict(f"job {job.id} worked on an upload, which is not kept when it ends; send the file again")
    try:
        return kind, kind.request.model_validate_json(json.dumps(job.request))
    except ValidationError as error:
        fields = ", ".join(sorted({field.field or "the whole request" for field in wrong_fields(error)}))
        raise Conflict(
            f"the request of job {job.id} does not fit this version of {job.kind} ({fields}); submit a new one"
        ) from None
