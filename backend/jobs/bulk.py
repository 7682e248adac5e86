"""Many jobs in one call: stored in one transaction, all or none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, Uuid, bindparam, case, cast, column, func, insert, literal, select, update
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import MOST_SHOWN, FieldError, InputError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.jobs.keys import digest_of, enter_key
from backend.jobs.kinds import JobKind
from backend.jobs.ring import current_doorbell
from backend.jobs.states import FINAL, JobState
from backend.jobs.submit import check_request, find_earlier, new_row
from backend.jobs.tables import JOB
from backend.jobs.terms import Terms, check_terms
from backend.jobs.views import JobError, error_of

log = structlog.get_logger()


class BulkView(BaseModel):
    """The jobs that were submitted together."""

    model_config = ConfigDict(title="Bulk")

    id: UUID
    total: int
    finished: int = Field(description="How many have ended, in whatever way.")
    states: dict[JobState, int] = Field(description="How many jobs are in each state.")
    created_at: datetime
    finished_at: datetime | None = Field(description="When the last one ended; null while one has not.")


class BulkJob(BaseModel):
    """One job of a bulk."""

    place: int = Field(description="Its place in the bulk, from 0.")
    id: UUID
    kind: str
    state: JobState
    error: JobError | None
    result: dict[str, Any] | None


class BulkPage(BaseModel):
    """The jobs of a bulk in their order."""

    jobs: list[BulkJob]
    next_after: int | None = Field(description="Pass as `after` to get the next page; null on the last one.")


def submit_bulk(work: Sequence[tuple[JobKind, BaseModel]], *, terms: Terms, bulk_id: UUID | None = None) -> UUID:
    """Store many jobs, all or none, and ring for them; returns the bulk's id, or the one that the key stands for.

    `bulk_id` is the new bulk's.

    Raises:
        ValidationFailed: a check refused some of the requests, or a kind allows one job at a time.
        InputError, Unavailable: as `submit`.
    """
    asked = (f"{kind.name} {request.model_dump_json(exclude_unset=True)}" for kind, request in work)
    fingerprint = digest_of("bulk", *asked)
    if (earlier := find_earlier(terms, fingerprint)) is not None:
        return earlier
    check_terms(terms, now=utc_now())
    _check(work)
    bulk_id = bulk_id or uuid4()
    rows = [
        new_row(kind, request, terms, job_id=uuid4()) | {"bulk_id": bulk_id, "part": place}
        for place, (kind, request) in enumerate(work)
    ]
    with transaction() as session:
        if terms.key is not None:
            digest = digest_of(terms.client or "", terms.key)
            stands_for = enter_key(session, digest, bulk_id, fingerprint=fingerprint, now=utc_now())
            if stands_for != bulk_id:
                return stands_for
        _insert(session, rows)
    for row in rows:  # the doorbell sends as many rings as the workers need
        current_doorbell().ring(row["kind"], row["queue"], row["id"], priority=row["priority"])
    log.info("bulk_submitted", bulk_id=str(bulk_id), jobs=len(rows))
    return bulk_id


def get_bulk(bulk_id: UUID) -> BulkView:
    """Return how far a bulk is.

    Raises:
        NotFound: there is no such bulk.
    """
    counted = (
        select(JOB.c.state, func.count(), func.min(JOB.c.created_at), func.max(JOB.c.finished_at))
        .where(JOB.c.bulk_id == bulk_id)
        .group_by(JOB.c.state)
    )
    with transaction(read_only=True) as session:
        rows = session.execute(counted).all()
    if not rows:
        raise NotFound("bulk", bulk_id)
    states = {JobState(state): count for state, count, _, _ in rows}
    total, finished = sum(states.values()), sum(count for state, count in states.items() if state in FINAL)
    return BulkView(
        id=bulk_id,
        total=total,
        finished=finished,
        states=states,
        created_at=min(created for _, _, created, _ in rows),
        finished_at=max(ended for _, _, _, ended in rows) if finished == total else None,
    )


def list_bulk(bulk_id: UUID, *, after: int, limit: int) -> BulkPage:
    """Return jobs of a bulk with their results, in their order, those behind the place `after`.

    Raises:
        NotFound: there is no such bulk.
    """
    jobs = select(JOB).where(JOB.c.bulk_id == bulk_id, JOB.c.part > after).order_by(JOB.c.part).limit(limit + 1)
    with transaction(read_only=True) as session:
        rows = session.execute(jobs).all()
        if not rows and session.scalar(select(JOB.c.id).where(JOB.c.bulk_id == bulk_id).limit(1)) is None:
            raise NotFound("bulk", bulk_id)
    page = [
        BulkJob(place=row.part, id=row.id, kind=row.kind, state=row.state, error=error_of(row), result=row.result)
        for row in rows[:limit]
    ]
    return BulkPage(jobs=page, next_after=page[-1].place if len(rows) > limit else None)


def cancel_bulk(bulk_id: UUID) -> BulkView:
    """Cancel every queued job of a bulk at once, and ask the workers of the running ones to stop.

    Raises:
        NotFound: there is no such bulk.
    """
    now = utc_now()
    queued = JOB.c.state == JobState.QUEUED
    left = (JOB.c.bulk_id == bulk_id, JOB.c.state.not_in(FINAL))
    asked = (
        update(JOB)
        .where(*left)
        .values(
            cancel_requested_at=now,
            state=case((queued, JobState.CANCELLED), else_=JOB.c.state),
            finished_at=case((queued, now), else_=None),
        )
    )
    with transaction() as session:
        # In the order of those who end many together: nobody waits for one who waits for them.
        session.execute(select(JOB.c.id).where(*left).order_by(JOB.c.id).with_for_update()).all()
        session.execute(asked)
    return get_bulk(bulk_id)


def _insert(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows of a bulk: what differs between them as one JSON text, quicker by far than to parse VALUES."""
    own = {row["id"].hex: {name: row[name] for name in _OWN} for row in rows}
    common = {name: value for name, value in rows[0].items() if name not in _OWN and name != "id"}
    each = func.json_each(bindparam("own", own, type_=JSON)).table_valued("key", column("value", JSON))
    value = each.c.value
    selected = {
        JOB.c.id: cast(each.c.key, Uuid),
        JOB.c.kind: value["kind"].as_string(),
        JOB.c.queue: value["queue"].as_string(),
        JOB.c.request: value["request"],
        JOB.c.max_attempts: value["max_attempts"].as_integer(),
        JOB.c.notify: value["notify"].as_boolean(),
        JOB.c.part: value["part"].as_integer(),
        **{JOB.c[name]: literal(value, JOB.c[name].type) for name, value in common.items()},
    }
    session.execute(insert(JOB).from_select(list(selected), select(*selected.values())))


_OWN = ("kind", "queue", "request", "max_attempts", "notify", "part")  # columns that differ within a bulk


def _check(work: Sequence[tuple[JobKind, BaseModel]]) -> None:
    """Ask every check, and say which job of the bulk has which field wrong."""
    wrong: list[FieldError] = []
    for place, (kind, request) in enumerate(work):
        if kind.unique is not None:
            wrong.append(FieldError(f"jobs.{place}.kind", "of this kind there is one job at a time: submit it alone"))
            continue
        try:
            check_request(kind, request)
        except ValidationFailed as error:
            wrong += [FieldError(f"jobs.{place}.request.{one.field}".rstrip("."), one.reason) for one in error.fields]
        except InputError as error:
            wrong.append(FieldError(f"jobs.{place}.request", str(error)))
        if len(wrong) >= MOST_SHOWN:
            break
    if wrong:
        raise ValidationFailed(tuple(wrong))
