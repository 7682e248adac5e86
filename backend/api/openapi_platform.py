"""The description of the routes that every installation has."""

from pydantic import BaseModel

from backend.api.health import Health
from backend.api.jobs import JobsQuery
from backend.api.models import ModelList
from backend.api.openapi_parts import JSON, Paths, operation
from backend.api.schedules import FiringsQuery
from backend.batches.schemas import BatchQuery, FileWorkView, RowsRequest
from backend.files.views import FileList
from backend.jobs.schedules.views import FiringPage, ScheduleList, SchedulePatch, ScheduleView
from backend.jobs.views import JobPage, JobView
from backend.tabular.formats import Format

INPUTS: tuple[type[BaseModel], ...] = (SchedulePatch, RowsRequest)
QUERIES: tuple[type[BaseModel], ...] = (JobsQuery, FiringsQuery, BatchQuery)
_SENT = {"200": "The file.", "206": "The range that was asked for."}
OUTPUTS: tuple[type[BaseModel], ...] = (
    JobView,
    JobPage,
    FileWorkView,
    FileList,
    Health,
    ModelList,
    ScheduleList,
    ScheduleView,
    FiringPage,
)


def describe_platform(paths: Paths) -> None:
    """Describe jobs, models, health and schedules."""
    _jobs(paths)
    _files(paths)
    _health(paths)
    _schedules(paths)
    paths.add("get", "/models", operation("models.list", "models", "List the models", paths.ok(ModelList)))


def _jobs(paths: Paths) -> None:
    job = paths.ok(JobView)
    listing = operation("jobs.list", "jobs", "List jobs, newest first", paths.ok(JobPage) | paths.problems(422, 503))
    paths.add("get", "/jobs", listing, query=JobsQuery)
    one = operation("jobs.get", "jobs", "Get one job with its result", job | paths.problems(404, 503))
    paths.add("get", "/jobs/<uuid:job_id>", one)
    asked = job | {"202": job["200"]} | paths.problems(404, 409, 503)
    paths.add("post", "/jobs/<uuid:job_id>/cancel", operation("jobs.cancel", "jobs", "Cancel a job", asked))


def _files(paths: Paths) -> None:
    work = paths.ok(FileWorkView)
    accepted = work | paths.ok(FileWorkView, status="202", says="The file is stored; poll `Location`.")
    refused = paths.problems(400, 404, 413, 415, 422, 503)
    files = {format_.media_type: {"schema": {"type": "string", "format": "binary"}} for format_ in Format}
    rows = {JSON: {"schema": paths.refs[RowsRequest]}}
    predict = operation("batches.predict", "files", "Predict the rows of a file", accepted | refused)
    # Query parameters are for uploads: with JSON the body says the same.
    paths.add("post", "/batches", predict, query=BatchQuery, requestBody={"required": True, "content": rows | files})
    importing = operation("imports.start", "files", "Import the rows of a file", accepted | refused)
    paths.add("post", "/imports/<name>", importing, requestBody={"required": True, "content": files})
    progress = operation("batches.get", "files", "Say how far a batch or an import is", work | paths.problems(404, 503))
    paths.add("get", "/batches/<uuid:job_id>", progress)
    listed = paths.ok(FileList) | paths.problems(404, 503)
    paths.add("get", "/jobs/<uuid:job_id>/files", operation("files.list", "files", "List the files of a job", listed))
    sent = {status: {"description": says, "content": files} for status, says in _SENT.items()}
    sent["304"] = {"description": "It is the one that `If-None-Match` names."}
    sending = operation("files.get", "files", "Download a file of a job", sent | paths.problems(404, 410, 416, 503))
    paths.add("get", "/jobs/<uuid:job_id>/files/<role>", sending)


def _health(paths: Paths) -> None:
    health = paths.ok(Health)
    ready = health | {"503": health["200"]}
    paths.add("get", "/health", operation("health", "health", "Say how everything is", ready))
    served = operation("health.ready", "health", "Say whether requests can be served", ready)
    paths.add("get", "/health/ready", served)
    paths.add("get", "/health/live", operation("health.live", "health", "Say that the process runs", health))


def _schedules(paths: Paths) -> None:
    every, one = paths.ok(ScheduleList), paths.ok(ScheduleView)
    started = paths.ok(JobView, status="202", says="The job is stored; poll `Location`.")
    fired = paths.ok(FiringPage) | paths.problems(404, 422, 503)
    summaries = {
        "list": ("List the schedules with their last and next run", every | paths.problems(503)),
        "get": ("Get one schedule", one | paths.problems(404, 503)),
        "change": ("Pause a schedule or change its clock", one | paths.problems(400, 404, 415, 422, 503)),
        "run": ("Run a schedule's job now", started | paths.problems(404, 409, 422, 503)),
        "firings": ("List what came of a schedule's fire times, newest first", fired),
    }
    described = {name: operation(f"schedules.{name}", "schedules", *said) for name, said in summaries.items()}
    paths.add("get", "/schedules", described["list"])
    paths.add("get", "/schedules/<name>", described["get"])
    paths.add("patch", "/schedules/<name>", described["change"], requestBody=paths.body(SchedulePatch))
    paths.add("post", "/schedules/<name>/run", described["run"])
    paths.add("get", "/schedules/<name>/firings", described["firings"], query=FiringsQuery)
