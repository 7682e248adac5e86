"""One record at a time, as HTTP asks for it: add, read, list, change."""

from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.errors import Conflict, FieldError, NotFound, ValidationFailed, wrong_fields
from backend.extensions import transaction
from backend.resources.declaration import Refused, Resource
from backend.resources.schemas import KEY, LARGEST_ID, page_schema
from backend.resources.store import Values, changed, core, differences, known, mentioned_by


def add(resource: Resource, new: BaseModel) -> tuple[BaseModel, bool]:
    """Store a record and return it, and whether it is new: sending the same one again changes nothing.

    Raises:
        ValidationFailed: it refers to something that is not there.
        Conflict: there is another record with this `external_id`.
    """
    try:
        return _add(resource, new)
    except IntegrityError:  # somebody else added it between our look and our insert
        return _add(resource, new)


def get(resource: Resource, record_id: int) -> BaseModel:
    """Return one record.

    Raises:
        NotFound: there is none with this id.
    """
    with transaction(read_only=True) as session:
        return _view(resource, _find(session, resource, record_id))


def list_records(resource: Resource, query: Any) -> BaseModel:  # noqa: ANN401 - the resource's own query schema
    """Return a page of the records that meet the query's filters, by id."""
    table = core(resource)
    wanted = query.model_dump(exclude={"after_id", "limit"}, exclude_none=True)
    found = select(table).where(
        table.c.id > query.after_id, *(table.c[name] == value for name, value in wanted.items())
    )
    with transaction(read_only=True) as session:
        rows = session.execute(found.order_by(table.c.id).limit(query.limit + 1)).mappings().all()
    items = [_view(resource, dict(row)) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    page: BaseModel = page_schema(resource)(items=items, next_after_id=rows[query.limit - 1]["id"] if more else None)
    return page


def change(resource: Resource, record_id: int, patch: BaseModel) -> BaseModel:
    """Change the fields that the patch mentions and return the record; the whole must be valid afterwards.

    Raises:
        NotFound: there is no such record.
        ValidationFailed: the changed record would not be valid.
    """
    table = core(resource)
    mentioned = patch.model_dump(exclude_unset=True)
    with transaction() as session:
        present = _find(session, resource, record_id)
        row = _changed(resource, present, mentioned)
        (values,) = resource.prepare(session, [row])
        if isinstance(values, Refused):
            raise ValidationFailed((FieldError(values.field or "", values.reason),))
        if different := differences(resource, mentioned_by(resource, row) & mentioned.keys(), values, present):
            session.execute(update(table).where(table.c.id == record_id).values(different))
        return _view(resource, _find(session, resource, record_id))


def _add(resource: Resource, new: BaseModel) -> tuple[BaseModel, bool]:
    table = core(resource)
    with transaction() as session:
        (values,) = resource.prepare(session, [new])
        if isinstance(values, Refused):
            raise ValidationFailed((FieldError(values.field or "", values.reason),))
        present = known(session, resource, [values]).get(values[KEY])
        if present is None:
            record_id = session.execute(insert(table).returning(table.c.id), values).scalar_one()
            return _view(resource, _find(session, resource, record_id)), True
        different = differences(resource, mentioned_by(resource, new), values, present)
        if different and present[KEY] is not None:
            raise Conflict(
                f"{resource.one} {present['id']} has this external_id and other values; PATCH it to change them"
            )
        if different:  # it was recorded before its owner named it
            session.execute(update(table).where(table.c.id == present["id"]).values(different))
        return _view(resource, _find(session, resource, present["id"])), False


def _find(session: Session, resource: Resource, record_id: int) -> Values:
    table = core(resource)
    row = None
    if record_id <= LARGEST_ID:
        row = session.execute(select(table).where(table.c.id == record_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(resource.one, record_id)
    return dict(row)


def _view(resource: Resource, row: Values) -> BaseModel:
    return resource.view.model_validate(row)


def _changed(resource: Resource, present: Values, changes: Values) -> BaseModel:
    try:
        return changed(resource, present, changes)
    except ValidationError as error:
        raise ValidationFailed(wrong_fields(error)) from None
