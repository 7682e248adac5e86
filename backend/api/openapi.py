"""The API's description (OpenAPI 3.1), made from the schemas that also validate, and its page at /apidocs/.

flasgger serves both. The page's template is ours and its assets come from flask-swagger-ui: the ones flasgger brings
(3.28) have known cross-site scripting holes and load fonts from the internet.
"""

from collections.abc import Callable
from functools import cache, partial
from importlib.resources import files
from typing import Any

from flasgger import Swagger
from flask import Flask
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from backend.api.health import Health
from backend.api.jobs import JobsQuery
from backend.api.models import ModelList
from backend.api.schedules import FiringsQuery
from backend.domains.domain import Domain, Lookup
from backend.jobs.kinds import JobKind
from backend.jobs.schedules.views import FiringPage, ScheduleList, SchedulePatch, ScheduleView
from backend.jobs.views import JobPage, JobView

REF = "#/components/schemas/{model}"
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"


class WrongField(BaseModel):
    """One wrong field of a request."""

    field: str
    reason: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[WrongField] | None = None


class _Swagger(Swagger):  # type: ignore[misc] # flasgger publishes no types
    """flasgger, serving a description of ours, made when somebody first reads it: workers never do."""

    def __init__(self, app: Flask, *, config: dict[str, Any], make: Callable[[], dict[str, Any]]) -> None:
        self._describe = cache(make)
        super().__init__(app, config=config)

    def get_apispecs(self, endpoint: str = "apispec_1") -> dict[str, Any]:  # noqa: ARG002 - flasgger's signature
        """Return the description as it was made, without the Swagger 2 keys that flasgger adds."""
        return self._describe()


def init_openapi(app: Flask, *, prefix: str, domains: tuple[Domain, ...]) -> None:
    """Describe the API and serve the description with its page."""
    assets = "/apidocs-assets"
    config = {
        "title": "Sanguine",
        "headers": [],
        "specs": [{"endpoint": "openapi", "route": "/openapi.json", "rule_filter": lambda _: False}],
        "specs_route": "/apidocs/",
        "static_folder": str(files("flask_swagger_ui") / "dist"),
        "static_url_path": assets,
        "swagger_ui_bundle_js": f"{assets}/swagger-ui-bundle.js",
        "swagger_ui_css": f"{assets}/swagger-ui.css",
        "favicon": f"{assets}/favicon-32x32.png",
        "openapi": "3.1.0",
    }
    _Swagger(app, config=config, make=partial(describe, prefix=prefix, domains=domains))


def describe(*, prefix: str, domains: tuple[Domain, ...]) -> dict[str, Any]:
    """Return the OpenAPI description of the platform's routes and of every domain's."""
    kinds = [kind for domain in domains for kind in domain.job_kinds]
    lookups = [lookup for domain in domains for lookup in domain.lookups]
    inputs = [kind.request for kind in kinds] + [lookup.query for lookup in lookups]
    inputs += [JobsQuery, FiringsQuery, SchedulePatch]
    outputs: list[type[BaseModel]] = [kind.result for kind in kinds] + [lookup.result for lookup in lookups]
    outputs += [JobView, JobPage, Problem, Health, ModelList, ScheduleList, ScheduleView, FiringPage]
    names, definitions = models_json_schema(
        [*((model, "validation") for model in inputs), *((model, "serialization") for model in outputs)],
        ref_template=REF,
    )
    schemas: dict[str, Any] = definitions["$defs"]
    refs = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, Any] = {}
    for kind in kinds:
        paths[prefix + kind.path] = {"post": _submit(kind, refs)}
    for lookup in lookups:
        paths[prefix + lookup.path] = {"get": _lookup(lookup, refs, schemas)}
    platform = _platform(refs, schemas) | _schedules(refs, schemas)
    paths |= {prefix + path: operations for path, operations in platform.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sanguine",
            "version": "0.1.0",
            "description": "Predictions as durable jobs: submit one, then poll it, or wait with `Prefer: wait=n`.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _submit(kind: JobKind, refs: dict[Any, Any]) -> dict[str, Any]:
    job = {"allOf": [refs[JobView], {"properties": {"result": {"anyOf": [refs[kind.result], {"type": "null"}]}}}]}
    return {
        "operationId": kind.name,
        "tags": [kind.name.partition(".")[0]],
        "summary": kind.summary,
        "parameters": [
            {
                "name": "Prefer",
                "in": "header",
                "description": "`wait=10` answers with the finished job when it ends within ten seconds (RFC 7240).",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": refs[kind.request]}}},
        "responses": {
            "200": {"description": "The finished job.", "content": {JSON: {"schema": job}}},
            "202": {"description": "The job is stored; poll `Location`.", "content": {JSON: {"schema": job}}},
        }
        | _problems(refs, 400, 404, 413, 415, 422, 503),
    }


def _lookup(lookup: Lookup, refs: dict[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": lookup.name,
        "tags": [lookup.name.partition(".")[0]],
        "summary": lookup.summary,
        "parameters": _query_parameters(refs[lookup.query], schemas),
        "responses": _ok(refs[lookup.result]) | _problems(refs, 404, 422, 503),
    }


def _platform(refs: dict[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    job_id = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    job, health = _ok(refs[JobView]), _ok(refs[Health])
    return {
        "/jobs": {
            "get": _operation(
                "jobs.list", "jobs", "List jobs, newest first", _ok(refs[JobPage]) | _problems(refs, 422, 503)
            )
            | {"parameters": _query_parameters(refs[JobsQuery], schemas)}
        },
        "/jobs/{job_id}": {
            "get": _operation("jobs.get", "jobs", "Get one job with its result", job | _problems(refs, 404, 503))
            | {"parameters": [job_id]}
        },
        "/jobs/{job_id}/cancel": {
            "post": _operation(
                "jobs.cancel", "jobs", "Cancel a job", job | {"202": job["200"]} | _problems(refs, 404, 409, 503)
            )
            | {"parameters": [job_id]}
        },
        "/models": {"get": _operation("models.list", "models", "List the models", _ok(refs[ModelList]))},
        "/health": {"get": _operation("health", "health", "Say how everything is", health | {"503": health["200"]})},
        "/health/ready": {
            "get": _operation(
                "health.ready", "health", "Say whether requests can be served", health | {"503": health["200"]}
            )
        },
        "/health/live": {"get": _operation("health.live", "health", "Say that the process runs", health)},
    }


def _schedules(refs: dict[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = {"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]}
    one = _ok(refs[ScheduleView])
    started = {
        "202": {"description": "The job is stored; poll `Location`.", "content": {JSON: {"schema": refs[JobView]}}}
    }
    change = _operation(
        "schedules.change",
        "schedules",
        "Pause a schedule or change its clock",
        one | _problems(refs, 400, 404, 415, 422, 503),
    )
    run = _operation(
        "schedules.run", "schedules", "Run a schedule's job now", started | _problems(refs, 404, 409, 422, 503)
    )
    firings = _operation(
        "schedules.firings",
        "schedules",
        "List what came of a schedule's fire times, newest first",
        _ok(refs[FiringPage]) | _problems(refs, 404, 422, 503),
    )
    return {
        "/schedules": {
            "get": _operation(
                "schedules.list",
                "schedules",
                "List the schedules with their last and next run",
                _ok(refs[ScheduleList]) | _problems(refs, 503),
            )
        },
        "/schedules/{name}": {
            "get": _operation("schedules.get", "schedules", "Get one schedule", one | _problems(refs, 404, 503)) | name,
            "patch": change
            | name
            | {"requestBody": {"required": True, "content": {JSON: {"schema": refs[SchedulePatch]}}}},
        },
        "/schedules/{name}/run": {"post": run | name},
        "/schedules/{name}/firings": {
            "get": firings | {"parameters": [*name["parameters"], *_query_parameters(refs[FiringsQuery], schemas)]}
        },
    }


def _operation(identifier: str, tag: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": identifier, "tags": [tag], "summary": summary, "responses": responses}


def _ok(schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "The answer.", "content": {JSON: {"schema": schema}}}}


def _problems(refs: dict[Any, Any], *statuses: int) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": refs[Problem]}}
    return {str(status): {"description": "Refused; `detail` says why.", "content": content} for status in statuses}


def _query_parameters(ref: dict[str, str], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    schema = schemas.pop(ref["$ref"].removeprefix(REF.format(model="")))  # described by its fields alone
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": field,
        }
        for name, field in schema.get("properties", {}).items()
    ]
