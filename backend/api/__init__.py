"""HTTP only: parse, one call, return."""

from flask import Blueprint, Flask

from backend.api import (
    accounts,
    auth,
    bulk,
    dead_letters,
    events,
    files,
    health,
    jobs,
    models,
    registry,
    schedules,
    webhooks,
)
from backend.api.errors import init_errors
from backend.api.headers import init_headers
from backend.api.jobs import add_submit_routes
from backend.api.limits import init_limits
from backend.api.lookups import add_command_routes, add_lookup_routes
from backend.api.openapi import init_openapi
from backend.api.parse import Name
from backend.api.request_ids import init_request_ids
from backend.api.resources import add_resource_routes
from backend.api.v2 import init_v2
from backend.domains.domain import Domain

PREFIX = "/api/ml"


def init_api(app: Flask, domains: tuple[Domain, ...]) -> None:
    """Give the application its routes, its error answers and its description."""
    app.url_map.converters["default"] = Name
    api = Blueprint("api", __name__)
    platforms = (accounts, auth, bulk, dead_letters, events, files, health, jobs, models, registry, schedules, webhooks)
    for platform in platforms:
        api.register_blueprint(platform.blueprint)
    for domain in domains:
        add_submit_routes(api, domain.job_kinds)
        add_lookup_routes(api, domain.lookups)
        add_command_routes(api, domain.commands)
        add_resource_routes(api, domain.resources)
    app.register_blueprint(api, url_prefix=PREFIX)
    init_limits(app)
    init_v2(app)
    init_headers(app)
    init_request_ids(app)
    init_errors(app)
    init_openapi(app, prefix=PREFIX, domains=domains)
