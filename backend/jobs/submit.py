"""Submitting and cancelling: the row first, committed; then the ring."""

from typing import Any
from uuid import UUID, uuid4

import structlog
from pydantic import BaseModel
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Conflict, NotFound, Unavailable
from backend.extensions import insert_new, transaction
from backend.jobs.intake import current_intake
from backend.jobs.keys import check_key, digest_of, enter_key, find_key, is_entered, point_key
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.parts import advance
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL, UNFINISHED, JobState
from backend.jobs.subscribers import is_awaited
from backend.jobs.tables import JOB, Job
from backend.jobs.terms import Terms, check_terms
from backend.jobs.views import JobView, get_job, view

log = structlog.get_logger()

NO_TERMS = Terms()


def submit(
    kind: JobKind,
    request: BaseModel,
    *,
    terms: Terms = NO_TERMS,
    job_id: UUID | None = None,
    identity: str | None = None,
) -> JobView:
    """Store a job, under an id that was chosen if there is one, and ring for it, whatever state the broker is in.

    Returns an earlier job, with another id, when the client's key stands for it or when the kind wants no second one.

    Args:
        kind: what the job does.
        request: what is asked.
        terms: who asks, how urgently, and until when it is worth anything.
        job_id: the new job's id.
        identity: what makes two requests the same, where that is not all of the request.

    Raises:
        InputError: a check of the kind refused the request, a deadline has passed, the key stands for something else,
            or the unfinished job of a unique kind was asked something else; nothing was stored.
        Unavailable: the database does not answer; nothing was stored.
    """
    fingerprint = ""
    if terms.key is not None:
        fingerprint = digest_of(kind.name, identity or request.model_dump_json(exclude_unset=True))
        if (earlier := find_earlier(terms, fingerprint)) is not None:
            return get_job(earlier)
    check_terms(terms, now=utc_now())
    check_request(kind, request)
    new = new_row(kind, request, terms, job_id=job_id or uuid4())
    if terms.key is None and kind.unique is None:
        current_intake().store(new)
        job = Job(**new)
    else:
        with transaction() as session:
            job = _store(session, kind, new, terms=terms, fingerprint=fingerprint)
    if job.id == new["id"]:
        ring(job)
    return view(job)


def find_earlier(terms: Terms, fingerprint: str) -> UUID | None:
    """Return what was submitted before under the client's key.

    Raises:
        ValidationFailed: the key is none.
        KeyReused: it stands for other work.
    """
    if terms.key is None:
        return None
    check_key(terms.key)
    with transaction(read_only=True) as session:
        digest = digest_of(terms.client or "", terms.key)
        return find_key(session, digest, fingerprint=fingerprint, now=utc_now())


def was_submitted(terms: Terms) -> bool:
    """Return whether the client's key stands for something, whatever it is."""
    if terms.key is None:
        return False
    with transaction(read_only=True) as session:
        return is_entered(session, digest_of(terms.client or "", terms.key), now=utc_now())


def check_request(kind: JobKind, request: BaseModel) -> None:
    """Ask the checks of the kind; they may read the database, so not inside a transaction.

    Raises:
        InputError: one refused the request.
    """
    for check in kind.checks:
        check(request)


def store_job(
    session: Session, kind: JobKind, request: BaseModel, *, terms: Terms = NO_TERMS, replay_of: UUID | None = None
) -> Job:
    """Insert a checked job in the caller's transaction; the caller rings after its commit.

    Raises:
        Conflict: the kind is unique, and a job of it is not finished.
    """
    new = new_row(kind, request, terms, job_id=uuid4()) | {"replay_of": replay_of}
    job = _store(session, kind, new, terms=terms, fingerprint="")
    if job.id != new["id"]:
        raise Conflict(_unfinished(kind, job))
    return job


def new_row(kind: JobKind, request: BaseModel, terms: Terms, *, job_id: UUID) -> dict[str, Any]:
    """Return the columns of a job that is to be inserted."""
    now = utc_now()
    row = {
        "id": job_id,
        "kind": kind.name,
        "queue": kind.queue,
        "state": JobState.QUEUED,
        "request": request.model_dump(mode="json", exclude_unset=True),
        "progress": 0.0,
        "attempt": 0,
        "max_attempts": kind.max_attempts,
        "created_at": now,
        "available_at": now,
        "rung_at": now,
        "client": terms.client,
        "priority": int(terms.priority),
        "start_by": terms.start_by,
        "finish_by": terms.finish_by,
        "callback": terms.callback,
        "notify": terms.callback is not None or is_awaited(kind.name),
    }
    if kind.unique is not None:
        asked = (request.model_dump_json(exclude_unset=True),) if kind.unique is Unique.REQUEST else ()
        row["unique_key"] = digest_of(kind.name, *asked)
    return row


def ring(job: Job) -> None:
    """Ring for a job that is committed."""
    current_doorbell().ring(job.kind, job.queue, job.id, priority=job.priority)
    log.info("job_submitted", job_id=str(job.id), kind=job.kind)


def cancel(job_id: UUID) -> JobView:
    """Cancel a queued job at once; ask the worker of a running one, or of its parts, to stop.

    Raises:
        NotFound: there is no such job.
        Conflict: the job is already finished.
    """
    now = utc_now()
    with transaction() as session:
        job = session.get(Job, job_id, with_for_update=True)
        if job is None:
            raise NotFound("job", job_id)
        if job.state in FINAL:
            raise Conflict(f"job {job_id} is already {job.state}")
        job.cancel_requested_at = now
        if job.state == JobState.QUEUED:
            job.state, job.finished_at = JobState.CANCELLED, now
        waits = job.state == JobState.WAITING
    if waits:
        advance(job_id)
    return get_job(job_id)


def _store(session: Session, kind: JobKind, new: dict[str, Any], *, terms: Terms, fingerprint: str) -> Job:
    """Insert a job, or return the one that its key or its uniqueness stands for."""
    digest = None
    if terms.key is not None:
        digest = digest_of(terms.client or "", terms.key)
        stands_for = enter_key(session, digest, new["id"], fingerprint=fingerprint, now=new["created_at"])
        if stands_for != new["id"]:
            return session.get_one(Job, stands_for)
    if "unique_key" not in new:
        session.execute(insert(JOB), new)
        return Job(**new)
    if session.scalar(insert_new(JOB).values(new).returning(JOB.c.id)) is not None:
        return Job(**new)
    unfinished = select(Job).where(Job.unique_key == new["unique_key"], Job.state.in_(UNFINISHED))
    job = session.scalars(unfinished.with_for_update()).one_or_none()
    if job is None:
        raise Unavailable(f"another job of kind {kind.name} ended at this moment")
    if job.request != new["request"]:
        raise Conflict(_unfinished(kind, job))
    if terms.callback not in (None, job.callback):
        if job.callback is not None:
            raise Conflict(f"{_unfinished(kind, job)}; another address than yours is told of its end")
        job.callback, job.notify = terms.callback, True
    if digest is not None:
        point_key(session, digest, job.id)
    return job


def _unfinished(kind: JobKind, job: Job) -> str:
    return f"job {job.id} of kind {kind.name} is not finished, and there is one at a time; wait for it or cancel it"
