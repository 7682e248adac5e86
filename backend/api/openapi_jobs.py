"""The description of what can be done with jobs: the terms of a submission, bulks, dead letters."""

from pydantic import BaseModel

from backend.api.bulk import BulkQuery, BulkRequest
from backend.api.dead_letters import DeadQuery, Discard, DiscardSelection, Selection
from backend.api.jobs import JobsQuery
from backend.api.openapi_parts import Described, Paths, operation
from backend.api.terms import KEY_HEADER, TermsQuery
from backend.jobs.bulk import BulkPage, BulkView
from backend.jobs.dead_letters import DeadLetterPage, DiscardResult, ReplayResult
from backend.jobs.views import JobDetail, JobPage, JobView

INPUTS: tuple[type[BaseModel], ...] = (BulkRequest, Selection, DiscardSelection, Discard)
QUERIES: tuple[type[BaseModel], ...] = (JobsQuery, TermsQuery, BulkQuery, DeadQuery)
OUTPUTS: tuple[type[BaseModel], ...] = (
    *(JobView, JobDetail, JobPage, BulkView, BulkPage),
    *(DeadLetterPage, ReplayResult, DiscardResult),
)
REFUSALS = (400, 409, 413, 415, 422, 429, 503)

PREFER: Described = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=10` answers with the finished job when it ends within ten seconds (RFC 7240).",
    "schema": {"type": "string"},
}
KEY: Described = {
    "name": KEY_HEADER,
    "in": "header",
    "description": "A text of your own, such as a UUID: sent again within a day, the answer is the first job again.",
    "schema": {"type": "string", "maxLength": 255},
}


def describe_jobs(paths: Paths) -> None:
    """Describe jobs, bulks and dead letters."""
    detail, job = paths.ok(JobDetail), paths.ok(JobView)
    listing = operation("jobs.list", "jobs", "List jobs, newest first", paths.ok(JobPage) | paths.problems(422, 503))
    paths.add("get", "/jobs", listing, query=JobsQuery)
    one = operation("jobs.get", "jobs", "Get one job with its result", detail | paths.problems(404, 503))
    paths.add("get", "/jobs/<uuid:job_id>", one)
    asked = job | {"202": job["200"]} | paths.problems(404, 409, 503)
    paths.add("post", "/jobs/<uuid:job_id>/cancel", operation("jobs.cancel", "jobs", "Cancel a job", asked))
    _bulk(paths)
    _dead_letters(paths)


def _bulk(paths: Paths) -> None:
    bulk, found = paths.ok(BulkView), paths.problems(404, 503)
    stored = paths.ok(BulkView, status="202", says="The jobs are stored; poll `Location`.") | paths.problems(*REFUSALS)
    adding = operation("bulk.submit", "bulk", "Submit up to 10,000 jobs at once", stored)
    body = paths.body(BulkRequest)
    paths.add("post", "/jobs/bulk", adding, query=TermsQuery, requestBody=body, parameters=[KEY])
    path = "/jobs/bulk/<uuid:bulk_id>"
    paths.add("get", path, operation("bulk.get", "bulk", "Say how far a bulk is", bulk | found))
    listed = operation("bulk.jobs", "bulk", "List the jobs of a bulk with their results", paths.ok(BulkPage) | found)
    paths.add("get", f"{path}/jobs", listed, query=BulkQuery)
    paths.add("post", f"{path}/cancel", operation("bulk.cancel", "bulk", "Cancel what has not ended", bulk | found))


def _dead_letters(paths: Paths) -> None:
    tag, refused = "dead letters", paths.problems(400, 415, 422, 503)
    page = paths.ok(DeadLetterPage) | paths.problems(422, 503)
    listing = operation("dead_letters.list", tag, "List failed and dead jobs that nobody has dealt with", page)
    paths.add("get", "/dead-letters", listing, query=DeadQuery)
    several = operation("dead_letters.replay", tag, "Submit dead letters again", paths.ok(ReplayResult) | refused)
    paths.add("post", "/dead-letters/replay", several, requestBody=paths.body(Selection))
    away = operation("dead_letters.discard", tag, "Discard dead letters", paths.ok(DiscardResult) | refused)
    paths.add("post", "/dead-letters/discard", away, requestBody=paths.body(DiscardSelection))
    again = paths.ok(JobView, status="202", says="The new job is stored; poll `Location`.")
    replaying = operation("jobs.replay", tag, "Submit a dead letter again", again | paths.problems(404, 409, 422, 503))
    paths.add("post", "/jobs/<uuid:job_id>/replay", replaying)
    gone = paths.ok(JobDetail) | paths.problems(404, 409) | refused
    discarding = operation("jobs.discard", tag, "Discard a dead letter", gone)
    paths.add("post", "/jobs/<uuid:job_id>/discard", discarding, requestBody=paths.body(Discard))
