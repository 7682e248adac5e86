"""The cleanup: old rows are archived, the archive is verified, and then exactly these rows are deleted."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import Session

from backend.audit.archive import write_archive
from backend.audit.retention import Retention, core, reference
from backend.extensions import Table, transaction

CHUNK = 500  # rows per file and transaction: a match result may have 100 kB


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What has left one table so far."""

    rows: int = 0
    files: tuple[str, ...] = ()


def clean_table(
    retention: Retention,
    folder: Path,
    *,
    cutoff: datetime,
    commit: Callable[[Cleaned], AbstractContextManager[Session]],
    cleaned: Cleaned = Cleaned(),
    chunk: int = CHUNK,
) -> Cleaned:
    """Archive and delete the rows of one table that are older than `cutoff` and that nothing protects.

    `commit` opens the transaction of a chunk and is told how far the table has come with it; `cleaned` is how far an
    earlier run came. Stopped at any moment, every row is in the table, in an archive, or in both.

    Raises:
        ArchiveError: a file cannot be written; the rows it was for are still in the table.
        Unavailable: the database does not answer.
    """
    while True:
        with transaction(read_only=True) as session:
            rows = session.execute(retention.oldest(cutoff, limit=chunk)).mappings().all()
            records = [dict(row) for row in rows]
            for part in retention.parts:
                _add_parts(session, retention.table, part, records)
        if not records:
            return cleaned
        times = [record[retention.time] for record in records]
        path = write_archive(folder, retention.name, records, first=min(times), last=max(times))
        cleaned = Cleaned(cleaned.rows + len(records), (*cleaned.files, path.name))
        with commit(cleaned) as session:
            _delete(session, retention, records, cutoff)


def _add_parts(session: Session, whole: type[Table], part: type[Table], records: Sequence[dict[str, Any]]) -> None:
    column, target = reference(part, whole)
    table = core(part)
    parts: dict[object, list[dict[str, Any]]] = {record[target]: [] for record in records}
    query = select(*table.c).where(table.c[column].in_(parts)).order_by(*table.primary_key.columns)
    for row in session.execute(query).mappings():
        parts[row[column]].append(dict(row))
    for record in records:
        record[part.__tablename__] = parts[record[target]]


def _delete(session: Session, retention: Retention, records: Sequence[Mapping[str, Any]], cutoff: datetime) -> None:
    """Delete these rows; one that somebody refers to since it was read stays, though it is in the archive."""
    table = core(retention.table)
    locked = select(*table.c).where(_among(table, records), retention.expired(cutoff)).with_for_update()
    found = session.execute(locked.order_by(*table.primary_key.columns)).mappings()
    leaving = [dict(row) for row in found]
    for part in retention.parts:
        column, target = reference(part, retention.table)
        ids = [row[target] for row in leaving]
        session.execute(delete(core(part)).where(core(part).c[column].in_(ids)))
    session.execute(delete(table).where(_among(table, leaving)))


def _among(table: CoreTable, rows: Sequence[Mapping[str, Any]]) -> ColumnElement[bool]:
    keys = list(table.primary_key.columns)
    return tuple_(*keys).in_([tuple(row[key.name] for key in keys) for row in rows])
