"""The schemas that follow from a resource's own: what may be changed, what may be asked for, and a page."""

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from backend.resources.declaration import Resource

KEY = "external_id"
LARGEST_ID = 2**63 - 1  # of a database


@cache
def change_schema(resource: Resource) -> type[BaseModel]:
    """Return the body of a PATCH: the fields of `new` that may change, each of them optional."""
    fields: dict[str, Any] = {
        name: (
            Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation,
            Field(default=None, description=field.description),  # an absent field is left as it is
        )
        for name, field in resource.new.model_fields.items()
        if name != KEY and name not in resource.fixed
    }
    return create_model(
        f"{resource.one.title().replace(' ', '')}Change", __config__=ConfigDict(extra="forbid"), **fields
    )


@cache
def query_schema(resource: Resource) -> type[BaseModel]:
    """Return the query of a list: the resource's filters, and where to go on."""
    return create_model(
        f"{resource.one.title().replace(' ', '')}Query",
        __base__=resource.filters,
        after_id=(int, Field(default=0, ge=0, le=LARGEST_ID, description="Only records after this one.")),
        limit=(int, Field(default=100, ge=1, le=1000)),
    )


@cache
def page_schema(resource: Resource) -> type[BaseModel]:
    """Return a page of a list."""
    return create_model(
        f"{resource.one.title().replace(' ', '')}Page",
        __doc__=f"{resource.name.replace('_', ' ').capitalize()}, by id.",
        items=(list[resource.view], ...),  # type: ignore[name-defined] # known at run time
        next_after_id=(int | None, Field(description="Pass as `after_id` for the next page; null on the last one.")),
    )
