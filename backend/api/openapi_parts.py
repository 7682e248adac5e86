"""The pieces of an OpenAPI description: paths with their parameters, answers, refusals."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

VERSION = "0.1.0"
REF = "#/components/schemas/{model}"
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

Described = dict[str, Any]

_CONVERTERS = {"int": {"type": "integer"}, "uuid": {"type": "string", "format": "uuid"}, "": {"type": "string"}}


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


class Paths:
    """The routes described so far, with the schemas they refer to."""

    def __init__(self, *, prefix: str, refs: dict[Any, Any], schemas: Described) -> None:
        self.described: Described = {}
        self.refs = refs
        self._prefix = prefix
        self._schemas = schemas

    def add(
        self,
        method: str,
        path: str,
        operation: Described,
        *,
        query: type[BaseModel] | tuple[type[BaseModel], ...] = (),
        **more: Any,
    ) -> None:
        """Describe one method of a Flask route; what its path names is a parameter, as are the fields of `query`."""
        named = dict(_path_fields(path))
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": schema} for name, schema in named.items()
        ]
        for one in query if isinstance(query, tuple) else (query,):
            parameters += self._query_parameters(one, without=named)
        if parameters := parameters + more.pop("parameters", []):
            operation = operation | {"parameters": parameters}
        address = self._prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
        self.described.setdefault(address, {})[method] = operation | more

    def body(self, model: type[BaseModel], *, path: str = "") -> Described:
        """Return a JSON body of `model` without the fields that the path says; optional when it needs no more."""
        named = dict(_path_fields(path))
        if not named:
            return {"required": True, "content": {JSON: {"schema": self.refs[model]}}}
        schema = self._inline(model)
        left = {name: field for name, field in schema.get("properties", {}).items() if name not in named}
        required = [name for name in schema.get("required", ()) if name not in named]
        schema = schema | {"properties": left, "required": required}
        return {"required": bool(required), "content": {JSON: {"schema": schema}}}

    def ok(self, model: type[BaseModel], *, status: str = "200", says: str = "The answer.") -> Described:
        """Return the description of an answer."""
        return {status: {"description": says, "content": {JSON: {"schema": self.refs[model]}}}}

    def problems(self, *statuses: int) -> Described:
        """Return the descriptions of refusals."""
        content = {PROBLEM_JSON: {"schema": self.refs[Problem]}}
        return {str(status): {"description": "Refused; `detail` says why.", "content": content} for status in statuses}

    def _inline(self, model: type[BaseModel]) -> Described:
        found: Described = self._schemas[self.refs[model]["$ref"].removeprefix(REF.format(model=""))]
        return found

    def _query_parameters(self, query: type[BaseModel], *, without: Iterable[str]) -> list[Described]:
        schema = self._inline(query)
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
            if name not in without
        ]


def operation(identifier: str, tag: str, summary: str, responses: Described) -> Described:
    """Return the description of one operation."""
    return {"operationId": identifier, "tags": [tag], "summary": summary, "responses": responses}


def _path_fields(path: str) -> list[tuple[str, Described]]:
    return [(name, _CONVERTERS[converter]) for converter, name in re.findall(r"<(?:(\w+):)?(\w+)>", path)]
