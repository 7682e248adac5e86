"""Many jobs in one call, and what came of them."""

import json
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, Response, request, url_for
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.api.answers import accepted, answer
from backend.api.guard import require, requires
from backend.api.parse import body_as, query_as
from backend.api.terms import admitted
from backend.errors import MOST_SHOWN, FieldError, NotServed, ValidationFailed, wrong_fields
from backend.jobs.bulk import cancel_bulk, get_bulk, list_bulk, submit_bulk
from backend.jobs.kinds import JobKind, kind_named
from backend.security.permissions import Permission

MOST_JOBS = 10_000
LARGEST_BODY = 20_000_000  # bytes
RETRY_AFTER = "2"  # seconds

blueprint = Blueprint("bulk", __name__)


class BulkItem(BaseModel):
    """One job of a bulk."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(description="The kind's name, such as blood.match.")
    request: dict[str, Any] = Field(description="What the kind's own route takes as body.")


class BulkRequest(BaseModel):
    """Jobs to be submitted together; all are stored, or none."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[BulkItem] = Field(min_length=1, max_length=MOST_JOBS)


class BulkQuery(BaseModel):
    """Which jobs of a bulk to list."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=-1, ge=-1, le=MOST_JOBS, description="Only jobs behind this place.")
    limit: int = Field(default=1_000, ge=1, le=1_000)


@blueprint.post("/jobs/bulk")
@requires(Permission.PREDICT)
def submit() -> Response:
    """Submit many jobs at once, behind those that are submitted one by one."""
    request.max_content_length = LARGEST_BODY
    work = _read(body_as(BulkRequest))
    terms = admitted(Counter(kind.queue for kind, _ in work), low=True)
    new = uuid4()
    bulk = get_bulk(submit_bulk(work, terms=terms, bulk_id=new))
    return accepted(
        bulk,
        location=url_for("api.bulk.get", bulk_id=bulk.id),
        ended=bulk.finished_at is not None,  # the key stands for one that has
        retry_after=RETRY_AFTER,
        repeated=bulk.id != new,
    )


@blueprint.get("/jobs/bulk/<uuid:bulk_id>")
@requires(Permission.PREDICT)
def get(bulk_id: UUID) -> Response:
    """Say how far a bulk is."""
    bulk = get_bulk(bulk_id)
    return answer(bulk, headers={} if bulk.finished_at else {"Retry-After": RETRY_AFTER})


@blueprint.get("/jobs/bulk/<uuid:bulk_id>/jobs")
@requires(Permission.PREDICT)
def jobs(bulk_id: UUID) -> Response:
    """List the jobs of a bulk with their results, in their order."""
    query = query_as(BulkQuery)
    return answer(list_bulk(bulk_id, after=query.after, limit=query.limit))


@blueprint.post("/jobs/bulk/<uuid:bulk_id>/cancel")
@requires(Permission.PREDICT)
def cancel(bulk_id: UUID) -> Response:
    """Cancel what of a bulk has not ended."""
    return answer(cancel_bulk(bulk_id))


def _read(bulk: BulkRequest) -> list[tuple[JobKind, BaseModel]]:
    """Return kinds and requests, each read by the schema of its kind."""
    work: list[tuple[JobKind, BaseModel]] = []
    wrong: list[FieldError] = []
    for place, item in enumerate(bulk.jobs):
        try:
            kind = kind_named(item.kind)
            require(kind.permission)
            # As JSON again: strings are read as dates and the like only there.
            work.append((kind, kind.request.model_validate_json(json.dumps(item.request))))
        except NotServed as error:
            wrong.append(FieldError(f"jobs.{place}.kind", str(error)))
        except ValidationError as error:
            found = wrong_fields(error)
            wrong += [FieldError(f"jobs.{place}.request.{one.field}".rstrip("."), one.reason) for one in found]
        if len(wrong) >= MOST_SHOWN:
            break
    if wrong:
        raise ValidationFailed(tuple(wrong))
    return work
