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
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backend.api import openapi_v2, v2
from backend.api.openapi_auth import SCHEME, SCHEMES, say_who_may
from backend.api.openapi_jobs import KEY, PREFER, REFUSALS
from backend.api.openapi_parts import JSON, REF, VERSION, Paths, Problem, operation
from backend.api.openapi_platform import INPUTS, OUTPUTS, QUERIES, describe_platform
from backend.api.terms import TermsQuery
from backend.domains.domain import Command, Domain, Lookup
from backend.jobs.kinds import JobKind
from backend.jobs.views import JobView
from backend.resources.declaration import Resource
from backend.resources.schemas import change_schema, page_schema, query_schema


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
    _Swagger(app, config=config, make=partial(describe, app, prefix=prefix, domains=domains))


def describe(app: Flask, *, prefix: str, domains: tuple[Domain, ...]) -> dict[str, Any]:
    """Return the OpenAPI description of the platform's routes and of every domain's, as `app` serves them."""
    kinds = {kind.path: kind for domain in domains for kind in domain.job_kinds if kind.path is not None}
    lookups = [lookup for domain in domains for lookup in domain.lookups]
    commands = [command for domain in domains for command in domain.commands]
    resources = [resource for domain in domains for resource in domain.resources]
    queries: list[type[BaseModel]] = [*QUERIES, *(lookup.query for lookup in lookups), *map(query_schema, resources)]
    inputs: list[type[BaseModel]] = [
        *INPUTS,
        *openapi_v2.INPUTS,
        *(kind.request for kind in kinds.values()),
        *(command.request for command in commands),
    ]
    inputs += [schema for resource in resources for schema in (resource.new, change_schema(resource))]
    outputs: list[type[BaseModel]] = [Problem, *OUTPUTS, *openapi_v2.OUTPUTS, *(kind.result for kind in kinds.values())]
    outputs += [*(lookup.result for lookup in lookups), *(command.result for command in commands)]
    outputs += [schema for resource in resources for schema in (resource.view, page_schema(resource))]
    names, definitions = models_json_schema(
        [
            *((model, "validation") for model in dict.fromkeys((*inputs, *queries))),
            *((model, "serialization") for model in dict.fromkeys(outputs)),
        ],
        ref_template=REF,
    )
    schemas: dict[str, Any] = definitions["$defs"]
    paths = Paths(prefix=prefix, refs={model: schema for (model, _), schema in names.items()}, schemas=schemas)
    for path, kind in kinds.items():
        _describe_kind(paths, path, kind)
    for lookup in lookups:
        _describe_lookup(paths, lookup)
    for command in commands:
        _describe_command(paths, command)
    for resource in resources:
        _describe_resource(paths, resource)
    describe_platform(paths)
    protocol = Paths(prefix=v2.PREFIX, refs=paths.refs, schemas=schemas)
    openapi_v2.describe_v2(protocol)
    say_who_may(paths.described, app, refused=paths.problems(401, 403))
    say_who_may(protocol.described, app, refused=openapi_v2.refused(protocol, 401, 403))
    for query in queries:  # described by their fields alone
        schemas.pop(paths.refs[query]["$ref"].removeprefix(REF.format(model="")), None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sanguine",
            "version": VERSION,
            "description": "Predictions as durable jobs: submit one, then poll it, or wait with `Prefer: wait=n`.",
        },
        "security": [{SCHEME: []}],
        "paths": paths.described | protocol.described,
        "components": {"schemas": schemas, "securitySchemes": SCHEMES},
    }


def _describe_kind(paths: Paths, path: str, kind: JobKind) -> None:
    job = {"allOf": [paths.refs[JobView], _with_result(paths.refs[kind.result])]}
    answers = {
        "200": {"description": "The finished job.", "content": {JSON: {"schema": job}}},
        "202": {"description": "The job is stored; poll `Location`.", "content": {JSON: {"schema": job}}},
    }
    described = operation(kind.name, _tag(kind.name), kind.summary, answers | paths.problems(404, *REFUSALS))
    body = paths.body(kind.request, path=path)
    paths.add("post", path, described, query=TermsQuery, requestBody=body, parameters=[PREFER, KEY])


def _describe_lookup(paths: Paths, lookup: Lookup) -> None:
    answers = paths.ok(lookup.result) | paths.problems(404, 422, 503)
    described = operation(lookup.name, _tag(lookup.name), lookup.summary, answers)
    paths.add("get", lookup.path, described, query=lookup.query)


def _describe_command(paths: Paths, command: Command) -> None:
    answers = paths.ok(command.result) | paths.problems(400, 404, 409, 413, 415, 422, 503)
    described = operation(command.name, _tag(command.name), command.summary, answers)
    paths.add("post", command.path, described, requestBody=paths.body(command.request, path=command.path))


def _with_result(result: dict[str, str]) -> dict[str, Any]:
    return {"properties": {"result": {"anyOf": [result, {"type": "null"}]}}}


def _describe_resource(paths: Paths, resource: Resource) -> None:
    name, one = resource.name, resource.one
    view = paths.ok(resource.view)
    added = paths.ok(resource.view, says="It was there already, the same.")
    added |= paths.ok(resource.view, status="201", says="Added; `Location` is its address.")
    listed = paths.ok(page_schema(resource)) | paths.problems(422, 503)
    written = paths.problems(400, 409, 413, 415, 422, 503)
    path, record = f"/{name}", f"/{name}/<int:record_id>"
    adding = operation(f"{name}.add", name, f"Add a {one}", added | written)
    paths.add("post", path, adding, requestBody=paths.body(resource.new))
    listing = operation(f"{name}.list", name, f"List {name.replace('_', ' ')}", listed)
    paths.add("get", path, listing, query=query_schema(resource))
    paths.add("get", record, operation(f"{name}.get", name, f"Get one {one}", view | paths.problems(404, 503)))
    changing = operation(f"{name}.change", name, f"Change a {one}", view | written | paths.problems(404))
    paths.add("patch", record, changing, requestBody=paths.body(change_schema(resource)))


def _tag(name: str) -> str:
    return name.partition(".")[0]
