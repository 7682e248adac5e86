"""What a domain declares to keep records of its users; routes, documentation and imports are derived from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.extensions import Table


class Change(StrEnum):
    """What storing a row did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a row cannot be stored: which field, or none of them, and the reason, without its value."""

    field: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """Rows that can be imported from a file: POST /imports/<name>.

    `store` writes validated rows in the caller's transaction and says for each, in order, what it did or why not;
    storing the same rows again must change nothing.
    """

    name: str
    row: type[BaseModel]
    key: tuple[str, ...]  # columns that together tell a row from all others of a file
    store: Callable[[Session, Sequence[Any]], Sequence[Change | Refused]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Records in one table, which their owner knows by `external_id`.

    `prepare` turns validated rows into the table's values and looks up what they refer to. `new` without the fields in
    `fixed` is what a PATCH may change.
    """

    name: str  # plural: the path, and the name of the import
    one: str  # singular, in messages
    table: type[Table]
    new: type[BaseModel]
    view: type[BaseModel]
    filters: type[BaseModel]  # fields named as columns of the table
    prepare: Callable[[Session, Sequence[Any]], Sequence[dict[str, Any] | Refused]]
    fixed: tuple[str, ...] = ()
    same: Callable[[Session, Sequence[dict[str, Any]]], Sequence[int | None]] | None = None
    """Finds, for values whose `external_id` is new, the record without one that they are about."""
