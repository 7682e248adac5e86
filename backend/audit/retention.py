"""Retention: which rows a table gives up when they are old, and which are kept whatever their age."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, Integer, Select, and_, exists, not_, select
from sqlalchemy import Table as CoreTable

from backend.extensions import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long the rows of one table stay. A row that another table's row refers to stays as long as that one."""

    table: type[Table]
    time: str  # the column by which a row ages; a row without a time does not
    days: int | None = None  # None: the installation's `retention_days`
    parts: tuple[type[Table], ...] = ()  # tables whose rows belong to one row of this table and leave with it
    protected: Callable[[datetime], ColumnElement[bool]] | None = None  # given the cutoff: rows that must stay

    def __post_init__(self) -> None:
        name = self.table.__tablename__
        if self.time not in core(self.table).c:
            raise ValueError(f"retention of {name}: no column {self.time}")
        for part in self.parts:
            reference(part, self.table)
        if self.days is not None and self.days < 1:
            raise ValueError(f"retention of {name}: at least one day")

    @property
    def name(self) -> str:
        """The table's name."""
        return core(self.table).name

    def cutoff(self, now: datetime, *, days: int) -> datetime:
        """Return the moment before which rows are old: a midnight in UTC, so that a repeated run sees the same rows."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=self.days or days)

    def expired(self, cutoff: datetime) -> ColumnElement[bool]:
        """Return the condition of rows that may leave: old, not protected, and referred to by none but their parts."""
        table = core(self.table)
        conditions = [table.c[self.time] < cutoff]
        if self.protected is not None:
            conditions.append(not_(self.protected(cutoff)))
        parts = {core(part) for part in self.parts}
        for other in table.metadata.tables.values():
            if other in parts:
                continue
            referring = other.alias() if other is table else other
            conditions += [
                ~exists().where(referring.c[key.parent.name] == key.column).correlate(table)
                for key in other.foreign_keys
                if key.column.table is table
            ]
        return and_(*conditions)

    def oldest(self, cutoff: datetime, *, limit: int) -> Select[tuple[object, ...]]:
        """Select the oldest rows that may leave; ids that count up follow time and have the index."""
        table = core(self.table)
        keys = list(table.primary_key.columns)
        order = keys if isinstance(keys[0].type, Integer) else [table.c[self.time], *keys]
        return select(*table.c).where(self.expired(cutoff)).order_by(*order).limit(limit)


def core(table: type[Table]) -> CoreTable:
    """Return the table of an ORM class."""
    return cast("CoreTable", table.__table__)


def reference(part: type[Table], whole: type[Table]) -> tuple[str, str]:
    """Return the column of `part` that refers to `whole`, and the column of `whole` it refers to.

    Raises:
        ValueError: there is not exactly one.
    """
    keys = [key for key in core(part).foreign_keys if key.column.table is core(whole)]
    if len(keys) != 1:
        raise ValueError(f"{part.__tablename__} has {len(keys)} references to {whole.__tablename__}, not one")
    return keys[0].parent.name, keys[0].column.name


def children_first(retentions: Iterable[Retention]) -> list[Retention]:
    """Order retentions so that rows leave before those that they refer to.

    Raises:
        ValueError: two retentions are for one table.
    """
    found = list(retentions)
    by_table = {core(retention.table): retention for retention in found}
    if len(by_table) != len(found):
        raise ValueError("two retentions are for one table")
    ordered = reversed(Table.metadata.sorted_tables)
    return [by_table[table] for table in ordered if table in by_table]
