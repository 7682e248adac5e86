"""The description of the routes that every installation has."""

from pydantic import BaseModel

from backend.api.health import Health
from backend.api.jobs import JobsQuery
from backend.api.models import ModelList
from backend.api.openapi_parts import Paths, operation
from backend.api.schedules import FiringsQuery
from backend.jobs.schedules.views import FiringPage, ScheduleList, SchedulePatch, ScheduleView
from backend.jobs.views import JobPage, JobView

INPUTS: tuple[type[BaseModel], ...] = (SchedulePatch,)
QUERIES: tuple[type[BaseModel], ...] = (JobsQuery, FiringsQuery)
OUTPUTS: tuple[type[BaseModel], ...] = (JobView, JobPage, Health, ModelList, ScheduleList, ScheduleView, FiringPage)


def describe_platform(paths: Paths) -> None:
    """Describe jobs, models, health and schedules."""
    _jobs(paths)
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
