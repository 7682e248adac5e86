"""The description of the routes that every installation has."""

from typing import Any

from pydantic import BaseModel

from backend.api import openapi_accounts, openapi_auth, openapi_jobs, openapi_registry
from backend.api.events import EVENT_STREAM, LAST_EVENT_ID
from backend.api.health import Health
from backend.api.models import ModelList
from backend.api.openapi_jobs import KEY, PREFER, REFUSALS, describe_jobs
from backend.api.openapi_parts import JSON, Described, Paths, operation
from backend.api.schedules import FiringsQuery
from backend.api.terms import TermsQuery
from backend.api.webhooks import DeliveriesQuery
from backend.batches.schemas import BatchQuery, FileWorkView, RowsRequest
from backend.files.views import FileList
from backend.jobs.events import JobEvent
from backend.jobs.schedules.views import FiringPage, ScheduleList, SchedulePatch, ScheduleView
from backend.jobs.views import JobView
from backend.tabular.formats import Format
from backend.webhooks.schemas import (
    DeliveryPage,
    DeliveryView,
    EndpointList,
    EndpointNew,
    EndpointPatch,
    EndpointView,
    EndpointWithSecret,
    PublicKey,
)

INPUTS: tuple[type[BaseModel], ...] = (
    *openapi_jobs.INPUTS,
    *openapi_registry.INPUTS,
    *openapi_accounts.INPUTS,
    *openapi_auth.INPUTS,
    SchedulePatch,
    RowsRequest,
    EndpointNew,
    EndpointPatch,
)
QUERIES: tuple[type[BaseModel], ...] = (
    *openapi_jobs.QUERIES,
    *openapi_registry.QUERIES,
    FiringsQuery,
    DeliveriesQuery,
    BatchQuery,
)
_SENT = {"200": "The file.", "206": "The range that was asked for."}
OUTPUTS: tuple[type[BaseModel], ...] = (
    *openapi_jobs.OUTPUTS,
    *openapi_registry.OUTPUTS,
    *openapi_accounts.OUTPUTS,
    *openapi_auth.OUTPUTS,
    JobEvent,
    FileWorkView,
    FileList,
    Health,
    ModelList,
    ScheduleList,
    ScheduleView,
    FiringPage,
    EndpointView,
    EndpointWithSecret,
    EndpointList,
    DeliveryView,
    DeliveryPage,
    PublicKey,
)


def describe_platform(paths: Paths) -> None:
    """Describe jobs, models, health, schedules, webhooks, accounts and logins."""
    describe_jobs(paths)
    _events(paths)
    _files(paths)
    _health(paths)
    _schedules(paths)
    _webhooks(paths)
    paths.add("get", "/models", operation("models.list", "models", "List the models", paths.ok(ModelList)))
    openapi_registry.describe_registry(paths)
    openapi_accounts.describe_accounts(paths)
    openapi_auth.describe_auth(paths)


def _events(paths: Paths) -> None:
    events = {EVENT_STREAM: {"schema": paths.refs[JobEvent]}}
    answers = {
        "200": {"description": "Events `state` and `progress`, each with this as its data.", "content": events},
        "204": {"description": "Nothing comes after the event that `Last-Event-ID` names."},
    }
    after = {"name": LAST_EVENT_ID, "in": "header", "description": "The last event's id: go on after it."}
    parameters = [after | {"schema": {"type": "string"}}]
    following = operation("jobs.events", "jobs", "Follow a job until it ends", answers | paths.problems(404, 422, 503))
    paths.add("get", "/jobs/<uuid:job_id>/events", following, parameters=parameters)


def _files(paths: Paths) -> None:
    work = paths.ok(FileWorkView)
    accepted = work | paths.ok(FileWorkView, status="202", says="The file is stored; poll `Location`.")
    refused = paths.problems(404, *REFUSALS)
    headers = [PREFER, KEY]
    files = {format_.media_type: {"schema": {"type": "string", "format": "binary"}} for format_ in Format}
    rows = {JSON: {"schema": paths.refs[RowsRequest]}}
    predict = operation("batches.predict", "files", "Predict the rows of a file", accepted | refused)
    # Query parameters are for uploads: with JSON the body says the same.
    both = {"required": True, "content": rows | files}
    paths.add("post", "/batches", predict, query=(BatchQuery, TermsQuery), requestBody=both, parameters=headers)
    importing = operation("imports.start", "files", "Import the rows of a file", accepted | refused)
    body = {"required": True, "content": files}
    paths.add("post", "/imports/<name>", importing, query=TermsQuery, requestBody=body, parameters=headers)
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


def _webhooks(paths: Paths) -> None:
    one, secret = paths.ok(EndpointView), paths.ok(EndpointWithSecret)
    made = paths.ok(EndpointWithSecret, status="201", says="Registered; the secret is shown here only.")
    sent = paths.ok(DeliveryView, status="202", says="It is on its way.") | paths.problems(404, 409, 503)
    missing, body = paths.problems(404, 503), paths.problems(400, 413, 415, 422, 503)
    listed = paths.ok(DeliveryPage) | paths.problems(404, 422, 503)
    removed = {"204": {"description": "It is forgotten."}} | missing
    bodies = {model: {"requestBody": paths.body(model)} for model in (EndpointNew, EndpointPatch)}
    every, its = "/webhooks", "/webhooks/<uuid:endpoint_id>"
    again = f"{its}/deliveries/<uuid:delivery_id>/redeliver"

    def add(method: str, path: str, name: str, summary: str, answers: Described, **more: Any) -> None:
        paths.add(method, path, operation(f"webhooks.{name}", "webhooks", summary, answers), **more)

    add("post", every, "register", "Register a webhook", made | body, **bodies[EndpointNew])
    add("get", every, "list", "List the webhooks", paths.ok(EndpointList) | paths.problems(503))
    add("get", f"{every}/key", "key", "Get the public key of the signatures", paths.ok(PublicKey))
    add("get", its, "get", "Get one webhook", one | missing)
    add("patch", its, "change", "Change, disable or enable a webhook", one | body | missing, **bodies[EndpointPatch])
    add("delete", its, "remove", "Remove a webhook and its deliveries", removed)
    add("post", f"{its}/rotate", "rotate", "Give a webhook a new secret", secret | missing)
    add("post", f"{its}/test", "test", "Send a test to a webhook", sent)
    add("get", f"{its}/deliveries", "deliveries", "List what was sent to a webhook", listed, query=DeliveriesQuery)
    add("post", again, "redeliver", "Send a message again", sent)
