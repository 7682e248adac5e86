"""Dead letters over HTTP: see them, submit them again, or discard them with a reason."""

from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from backend.api.answers import answer
from backend.api.guard import require, requires
from backend.api.jobs import submitted
from backend.api.parse import body_as, query_as
from backend.jobs.dead_letters import MOST, discard, discard_all, find_dead, list_dead, replay, replay_all
from backend.jobs.moments import Moment
from backend.jobs.views import get_job_detail
from backend.security.permissions import Permission

blueprint = Blueprint("dead_letters", __name__)

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]


class DeadQuery(BaseModel):
    """Which dead letters to list."""

    model_config = ConfigDict(extra="forbid")

    kind: str | None = None
    error_code: str | None = None
    before: Moment | None = Field(default=None, description="Only those that ended before this moment.")
    limit: int = Field(default=50, ge=1, le=500)


class Selection(BaseModel):
    """Dead letters, by their ids or by what they have in common; at most a thousand in one call."""

    model_config = ConfigDict(extra="forbid")

    job_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MOST)
    kind: str | None = None
    error_code: str | None = None
    before: Moment | None = Field(default=None, description="Only those that ended before this moment.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        common = (self.kind, self.error_code, self.before)
        if (self.job_ids is None) == all(value is None for value in common):
            raise ValueError("give either job_ids, or some of kind, error_code and before")
        return self

    def ids(self) -> list[UUID]:
        """Return the ids of those that are meant."""
        if self.job_ids is not None:
            return list(dict.fromkeys(self.job_ids))
        return find_dead(kind=self.kind, error_code=self.error_code, before=self.before)


class DiscardSelection(Selection):
    """Dead letters to be discarded."""

    reason: Reason = Field(description="Why; kept with each of them. No names of people.")


class Discard(BaseModel):
    """Why a dead letter is discarded."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(description="Kept with the job. No names of people.")


@blueprint.get("/dead-letters")
@requires(Permission.OPERATE)
def list_() -> Response:
    """List the failed and dead jobs that nobody has dealt with, the latest first."""
    require(Permission.SEE_ALL_JOBS)
    query = query_as(DeadQuery)
    return answer(list_dead(kind=query.kind, error_code=query.error_code, before=query.before, limit=query.limit))


@blueprint.post("/dead-letters/replay")
@requires(Permission.OPERATE)
def replay_many() -> Response:
    """Submit dead letters again."""
    require(Permission.SEE_ALL_JOBS)
    return answer(replay_all(body_as(Selection).ids()))


@blueprint.post("/dead-letters/discard")
@requires(Permission.OPERATE)
def discard_many() -> Response:
    """Discard dead letters."""
    require(Permission.SEE_ALL_JOBS)
    asked = body_as(DiscardSelection)
    return answer(discard_all(asked.ids(), reason=asked.reason))


@blueprint.post("/jobs/<uuid:job_id>/replay")
@requires(Permission.OPERATE)
def replay_one(job_id: UUID) -> Response:
    """Submit a dead letter's request again, as a new job."""
    return submitted(replay(job_id))


@blueprint.post("/jobs/<uuid:job_id>/discard")
@requires(Permission.OPERATE)
def discard_one(job_id: UUID) -> Response:
    """Discard a dead letter."""
    discard(job_id, reason=body_as(Discard).reason)
    return answer(get_job_detail(job_id), status=HTTPStatus.OK)
