"""Jobs over HTTP: one submit route per job kind, and what clients do with a job afterwards."""

from datetime import datetime
from functools import partial
from http import HTTPStatus
from uuid import UUID, uuid4

from flask import Blueprint, Response, url_for
from pydantic import BaseModel, ConfigDict, Field

from backend.api.answers import accepted, answer
from backend.api.guard import current_principal, guarded, requires
from backend.api.parse import body_as, preferred_wait, query_as
from backend.api.terms import admitted
from backend.errors import Overloaded
from backend.jobs.kinds import JobKind
from backend.jobs.moments import Moment
from backend.jobs.owners import require_job_of
from backend.jobs.states import FINAL, JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.views import JobView, get_job_detail, list_jobs
from backend.jobs.waiting import wait_for_job
from backend.security.permissions import Permission

RETRY_AFTER = "1"  # seconds until a poll is worth it

blueprint = Blueprint("jobs", __name__)


class JobsQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    state: JobState | None = None
    kind: str | None = None
    before: Moment | None = Field(default=None, description="Only jobs created before this moment.")
    parent_id: UUID | None = Field(default=None, description="The parts of this job; without it, no parts.")
    limit: int = Field(default=50, ge=1, le=500)


@blueprint.get("/jobs")
@requires(Permission.PREDICT)
def list_() -> Response:
    """List jobs, newest first, without their results."""
    query = query_as(JobsQuery)
    before: datetime | None = query.before
    account = current_principal().sees_jobs_of
    if account is not None and query.parent_id is not None:
        require_job_of(account, query.parent_id)
        account = None  # the parts of what is one's own are, too, whoever submitted them
    return answer(
        list_jobs(
            state=query.state,
            kind=query.kind,
            before=before,
            limit=query.limit,
            parent_id=query.parent_id,
            client=account,
        )
    )


@blueprint.get("/jobs/<uuid:job_id>")
@requires(Permission.PREDICT)
def get(job_id: UUID) -> Response:
    """Return one job; 200 whatever its state."""
    job = get_job_detail(job_id)
    return answer(job, headers={} if job.state in FINAL else {"Retry-After": RETRY_AFTER})


@blueprint.post("/jobs/<uuid:job_id>/cancel")
@requires(Permission.PREDICT)
def cancel_(job_id: UUID) -> Response:
    """Cancel a queued job, or ask the worker of a running one to stop."""
    job = cancel(job_id)
    return answer(job, status=HTTPStatus.OK if job.state in FINAL else HTTPStatus.ACCEPTED)


def add_submit_routes(blueprint: Blueprint, kinds: tuple[JobKind, ...]) -> None:
    """Give every job kind with a path its submit route."""
    for kind in kinds:
        if kind.path is not None:
            endpoint = f"submit {kind.name}".replace(".", " ")
            view = guarded(partial(_submit, kind), kind.permission)
            blueprint.add_url_rule(kind.path, endpoint, view, methods=["POST"])


def _submit(kind: JobKind, **from_path: object) -> Response:
    asked = body_as(kind.request, **from_path)
    new = uuid4()
    job = submit(kind, asked, terms=admitted({kind.queue: 1}), job_id=new)
    repeated = job.id != new
    job, waited = awaited(job)
    return submitted(job, waited=waited, repeated=repeated)


def awaited(job: JobView) -> tuple[JobView, bool]:
    """Return the job when it has ended or the client will wait no longer, and whether it waited at all.

    Where too many wait already the preference is left: RFC 7240 allows that.
    """
    wait = preferred_wait()
    if not wait or job.state in FINAL:
        return job, wait > 0
    try:
        return wait_for_job(job, seconds=wait), True
    except Overloaded:
        return job, False


def submitted(job: JobView, *, waited: bool = False, repeated: bool = False) -> Response:
    """Answer with a job that was submitted."""
    return accepted(
        job,
        location=url_for("api.jobs.get", job_id=job.id),
        ended=job.state in FINAL,
        retry_after=RETRY_AFTER,
        repeated=repeated,
        waited=waited,
    )
