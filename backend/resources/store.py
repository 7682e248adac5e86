"""Storing records by what their owner calls them: a new one is inserted, a known one brought up to date."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from sqlalchemy import Table as CoreTable
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from backend.errors import wrong_fields
from backend.resources.declaration import Change, Importer, Refused, Resource
from backend.resources.schemas import KEY

Values = dict[str, Any]

_OWNER = "_external_id"


def importer_of(resource: Resource) -> Importer:
    """Return the import of a resource's records."""

    def _store(session: Session, rows: Sequence[BaseModel]) -> Sequence[Change | Refused]:
        return store(session, resource, rows)

    return Importer(name=resource.name, row=resource.new, key=(KEY,), store=_store)


def store(session: Session, resource: Resource, rows: Sequence[BaseModel]) -> list[Change | Refused]:
    """Insert or update records, no two with one `external_id`, and say what happened to each; equal ones stay."""
    table = core(resource)
    prepared = resource.prepare(session, rows)
    present_by_key = known(session, resource, [values for values in prepared if not isinstance(values, Refused)])
    inserts: list[Values] = []
    outcomes: list[Change | Refused] = []
    for row, values in zip(rows, prepared, strict=True):
        if isinstance(values, Refused):
            outcomes.append(values)
        elif (present := present_by_key.get(values[KEY])) is None:
            inserts.append(values)
            outcomes.append(Change.CREATED)
        elif not (different := differences(resource, mentioned_by(resource, row), values, present)):
            outcomes.append(Change.UNCHANGED)
        elif (refused := _refused(resource, present, different)) is not None:
            outcomes.append(refused)
        else:
            session.execute(update(table).where(table.c.id == present["id"]).values(different))
            outcomes.append(Change.UPDATED)
    if inserts:
        session.execute(insert(table), inserts)
    return outcomes


def mentioned_by(resource: Resource, row: BaseModel) -> set[str]:
    """Return the fields that a row says something about: nothing in a column that is never empty says nothing."""
    columns = core(resource).c
    return {
        name
        for name in row.model_fields_set
        if getattr(row, name) is not None or (name in columns and columns[name].nullable)
    }


def differences(resource: Resource, mentioned: AbstractSet[str], values: Values, present: Values) -> Values:
    """Return the values that a stored record lacks; fields that were not mentioned stay as they are."""
    own = resource.new.model_fields
    owners = {f"{name.removesuffix(_OWNER)}_id" for name in mentioned if name.endswith(_OWNER)}  # now looked up
    return {
        name: value
        for name, value in values.items()
        if (name in mentioned or name in owners or name not in own) and present[name] != value
    }


def changed(resource: Resource, present: Values, changes: Values) -> BaseModel:
    """Return a stored record with changes, as it would be sent anew.

    Raises:
        ValidationError: the whole would not be valid.
    """
    fields = resource.new.model_fields
    own = {name: present[name] for name in fields if present.get(name) is not None}
    nameless = {KEY: str(present["id"])}  # only for the check: it stays without an external id
    return resource.new.model_validate(nameless | own | {name: changes[name] for name in changes if name in fields})


def core(resource: Resource) -> CoreTable:
    """Return the table of a resource."""
    return cast("CoreTable", resource.table.__table__)


def known(session: Session, resource: Resource, prepared: list[Values]) -> dict[str, Values]:
    """Return the stored records that these values are about, by external id."""
    table = core(resource)
    keys = [values[KEY] for values in prepared]
    found = session.execute(select(table).where(table.c[KEY].in_(keys))).mappings()
    named = {row[KEY]: dict(row) for row in found}
    if resource.same is None:
        return named
    new = [values for values in prepared if values[KEY] not in named]
    ids = dict(zip((values[KEY] for values in new), resource.same(session, new), strict=True))
    nameless = select(table).where(table.c.id.in_([one for one in ids.values() if one is not None]))
    by_id = {row["id"]: dict(row) for row in session.execute(nameless).mappings()}
    return named | {key: by_id[one] for key, one in ids.items() if one is not None}


def _refused(resource: Resource, present: Values, different: Values) -> Refused | None:
    """Say why a record cannot be changed like this: fields that were not mentioned may contradict those that were."""
    try:
        changed(resource, present, different)
    except ValidationError as error:
        first = wrong_fields(error)[0]
        return Refused(first.field or None, first.reason)
    return None
