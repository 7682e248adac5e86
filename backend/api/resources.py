"""Records that domains keep for their users, over HTTP: add, read, list, change."""

from functools import partial
from http import HTTPStatus

from flask import Blueprint, Response, url_for

from backend.api.answers import answer
from backend.api.guard import guarded
from backend.api.parse import body_as, query_as
from backend.resources import records
from backend.resources.declaration import Resource
from backend.resources.schemas import change_schema, query_schema
from backend.security.permissions import Permission


def add_resource_routes(blueprint: Blueprint, resources: tuple[Resource, ...]) -> None:
    """Give every resource its routes."""
    for resource in resources:
        path, one = f"/{resource.name}", f"/{resource.name}/<int:record_id>"
        for verb, rule, view, method, permission in (
            ("add", path, _add, "POST", Permission.WRITE_RECORDS),
            ("list", path, _list, "GET", Permission.READ_RECORDS),
            ("get", one, _get, "GET", Permission.READ_RECORDS),
            ("change", one, _change, "PATCH", Permission.WRITE_RECORDS),
        ):
            guard = guarded(partial(view, resource), permission)
            blueprint.add_url_rule(rule, f"{verb} {resource.name}", guard, methods=[method])


def _add(resource: Resource) -> Response:
    record, is_new = records.add(resource, body_as(resource.new))
    location = url_for(f"api.get {resource.name}", record_id=record.id)  # type: ignore[attr-defined] # every view has one
    return answer(record, status=HTTPStatus.CREATED if is_new else HTTPStatus.OK, headers={"Location": location})


def _list(resource: Resource) -> Response:
    return answer(records.list_records(resource, query_as(query_schema(resource))))


def _get(resource: Resource, record_id: int) -> Response:
    return answer(records.get(resource, record_id))


def _change(resource: Resource, record_id: int) -> Response:
    return answer(records.change(resource, record_id, body_as(change_schema(resource))))
