"""Schedules over HTTP: see them with their last and next run, change, run now, read their history."""

from datetime import datetime

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.answers import answer
from backend.api.guard import requires
from backend.api.jobs import submitted
from backend.api.parse import body_as, query_as
from backend.clock import utc_now
from backend.jobs.moments import Moment
from backend.jobs.schedules.book import current_book
from backend.jobs.schedules.fire import run_now
from backend.jobs.schedules.views import (
    SchedulePatch,
    change_schedule,
    get_schedule,
    list_firings,
    list_schedules,
)
from backend.security.permissions import Permission

blueprint = Blueprint("schedules", __name__)


class FiringsQuery(BaseModel):
    """Which firings to list."""

    model_config = ConfigDict(extra="forbid")

    before: Moment | None = Field(default=None, description="Only fire times before this moment.")
    limit: int = Field(default=50, ge=1, le=500)


@blueprint.get("/schedules")
@requires(Permission.READ_FIGURES)
def list_() -> Response:
    """List the schedules."""
    return answer(list_schedules(current_book(), now=utc_now()))


@blueprint.get("/schedules/<name>")
@requires(Permission.READ_FIGURES)
def get(name: str) -> Response:
    """Return one schedule."""
    return answer(get_schedule(current_book(), name, now=utc_now()))


@blueprint.patch("/schedules/<name>")
@requires(Permission.OPERATE)
def change(name: str) -> Response:
    """Change a schedule's clock or catch-up window, pause or resume it."""
    return answer(change_schedule(current_book(), name, body_as(SchedulePatch), now=utc_now()))


@blueprint.post("/schedules/<name>/run")
@requires(Permission.OPERATE)
def run(name: str) -> Response:
    """Start a schedule's job now."""
    return submitted(run_now(current_book(), name, now=utc_now()))


@blueprint.get("/schedules/<name>/firings")
@requires(Permission.READ_FIGURES)
def firings(name: str) -> Response:
    """List what came of a schedule's fire times."""
    query = query_as(FiringsQuery)
    before: datetime | None = query.before
    return answer(list_firings(current_book(), name, before=before, limit=query.limit, now=utc_now()))
