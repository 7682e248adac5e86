"""The ledger of decisions about models: entries in one chain of hashes, so that no change of it goes unseen."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from backend.errors import FieldError, ValidationFailed
from backend.registry.states import Action, Alias
from backend.registry.tables import LedgerEntry, ModelAlias, ModelVersion

START: Final = "0" * 64
"""What the first entry holds in place of the hash of the one before."""
MOST_BY: Final = 200
MOST_REASON: Final = 500
_TURN: Final = 7_090_317_211  # of this ledger among the advisory locks of a PostgreSQL database; any number
_AT_ONCE: Final = 1_000  # entries that are in memory while the chain is verified
_COLUMNS: Final = LedgerEntry.__table__.c
_NAMES: Final = tuple(column.name for column in _COLUMNS)


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the ledger is not what was written: the first entry concerned, and what became of it."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How many entries were read, the hash of the last of them, and the first fault."""

    entries: int
    head: str
    first_fault: Fault | None


@dataclass(frozen=True, slots=True)
class LiveAt:
    """What production named at some moment, since when, and who had decided it; no version if it was unloaded."""

    model: str
    version: str | None
    manifest_sha256: str | None
    generation: int
    since: datetime
    action: Action
    by: str
    reason: str
    registered_by: str | None


def take_turn(session: Session) -> None:
    """Let nobody else decide anything until this transaction ends: take it before any row that others may lock."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite lets one transaction write at a time
        session.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def check_words(*, by: str, reason: str) -> None:
    """Check that a decision has a name and a reason, of a length that can be stored.

    Raises:
        ValidationFailed: one of them is blank or too long, or holds a character that no database takes.
    """
    given = (("by", by, MOST_BY), ("reason", reason, MOST_REASON))
    wrong = tuple(
        FieldError(field, f"must have 1 to {most} characters, none of them a control character")
        for field, words, most in given
        if not words.strip() or len(words) > most or not words.isprintable()
    )
    if wrong:
        raise ValidationFailed(wrong)


def append(
    session: Session,
    *,
    at: datetime,
    action: Action,
    model: str,
    by: str,
    reason: str,
    alias: Alias | None = None,
    version: ModelVersion | None = None,
    generation: int | None = None,
) -> LedgerEntry:
    """Write the next entry in the transaction of what was decided; others wait until that ends.

    Raises:
        ValidationFailed: as `check_words`.
    """
    check_words(by=by, reason=reason)
    take_turn(session)
    last = session.execute(select(_COLUMNS.seq, _COLUMNS.hash).order_by(_COLUMNS.seq.desc()).limit(1)).one_or_none()
    content = {
        "seq": last.seq + 1 if last else 1,
        "at": at,
        "action": str(action),
        "model": model,
        "alias": alias and str(alias),
        "version": version and version.version,
        "manifest_sha256": version and version.manifest_sha256,
        "generation": generation,
        "registered_by": version and version.registered_by,
        "by": by,
        "reason": reason,
        "previous_hash": last.hash if last else START,
    }
    entry = LedgerEntry(**content, hash=hash_of(content))
    session.add(entry)
    session.flush()
    return entry


def hash_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an entry: of all its columns but `hash`, as JSON with sorted keys and without spaces."""
    plain = {name: content[name] for name in _NAMES if name != "hash"}
    plain["at"] = content["at"].astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify(session: Session) -> Verified:
    """Read the whole ledger and name the first entry that was changed, removed, inserted or put elsewhere.

    It must be the first thing that a transaction does. Entries removed at the end show if one of them moved an alias;
    otherwise whoever noted the head misses it.
    """
    if session.get_bind().dialect.name == "postgresql":  # aliases and entries of one moment; SQLite gives nothing else
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    count, head, moves = 0, START, dict[tuple[str, str], tuple[int, str | None]]()
    query = select(*_COLUMNS).order_by(_COLUMNS.seq)
    with session.execute(query, execution_options={"yield_per": _AT_ONCE}) as rows:
        for entry in map(_plain, rows):
            fault = _fault(entry, expected=count + 1, previous=head)
            if fault is not None:
                return Verified(entries=count, head=head, first_fault=fault)
            count, head = count + 1, entry["hash"]
            if entry["alias"] is not None:
                moves[entry["model"], entry["alias"]] = entry["generation"], entry["manifest_sha256"]
    strayed = _strayed(session, moves)
    return Verified(entries=count, head=head, first_fault=None if strayed is None else Fault(count + 1, strayed))


def live_at(session: Session, model: str, at: datetime) -> LiveAt | None:
    """Return what production named at a moment; None if nothing was decided by then, so that the release served."""
    past = (
        select(LedgerEntry)
        .where(LedgerEntry.model == model, LedgerEntry.alias == Alias.PRODUCTION, LedgerEntry.at <= at)
        .order_by(LedgerEntry.seq.desc())
        .limit(1)
    )
    entry = session.scalar(past)
    if entry is None:
        return None
    return LiveAt(
        model=model,
        version=entry.version,
        manifest_sha256=entry.manifest_sha256,
        generation=entry.generation or 0,
        since=entry.at,
        action=Action(entry.action),
        by=entry.by,
        reason=entry.reason,
        registered_by=entry.registered_by,
    )


def entries(
    session: Session, *, model: str | None = None, before_seq: int | None = None, limit: int
) -> Sequence[LedgerEntry]:
    """Return entries, the latest first: of one model or of all, and before an entry."""
    query = select(LedgerEntry).order_by(LedgerEntry.seq.desc()).limit(limit)
    if model is not None:
        query = query.where(LedgerEntry.model == model)
    if before_seq is not None:
        query = query.where(LedgerEntry.seq < before_seq)
    return session.scalars(query).all()


def _plain(row: Row[Any]) -> dict[str, Any]:
    return dict(zip(_NAMES, row, strict=True))


def _fault(entry: Mapping[str, Any], *, expected: int, previous: str) -> Fault | None:
    if entry["seq"] > expected:
        return Fault(expected, "it was removed")
    if entry["hash"] != hash_of(entry):
        return Fault(entry["seq"], "it was changed: its content does not give its hash")
    if entry["seq"] < expected or entry["previous_hash"] != previous:
        return Fault(entry["seq"], "it does not follow the entry before: one of them was inserted, replaced or moved")
    return None


def _strayed(session: Session, moves: Mapping[tuple[str, str], tuple[int, str | None]]) -> str | None:
    """Say which alias does not stand where its last entry put it."""
    named = (
        select(ModelAlias.model, ModelAlias.alias, ModelAlias.generation, ModelVersion.manifest_sha256)
        .outerjoin(ModelVersion, ModelVersion.id == ModelAlias.version_id)
        .where(ModelAlias.generation > 0)
        .order_by(ModelAlias.model, ModelAlias.alias)
    )
    standing = {(row.model, row.alias): (row.generation, row.manifest_sha256) for row in session.execute(named)}
    for model, alias in sorted(standing.keys() | moves.keys()):
        if standing.get((model, alias)) != moves.get((model, alias)):
            return f"{alias} of {model} does not stand where the ledger left it: entries are missing, or it was moved"
    return None
