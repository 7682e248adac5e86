"""Idempotency keys: the same key and the same work are the first job again, for a day."""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.errors import FieldError, KeyReused, ValidationFailed
from backend.jobs.tables import KEY

KEPT_FOR = timedelta(hours=24)
LONGEST = 255  # characters


def check_key(key: str) -> None:
    """See that a key can be one.

    Raises:
        ValidationFailed: it is empty, too long, or holds more than visible ASCII characters.
    """
    if not key or len(key) > LONGEST or not all("!" <= character <= "~" for character in key):
        reason = f"1 to {LONGEST} visible ASCII characters are needed, such as a UUID; this one has {len(key):,}"
        raise ValidationFailed((FieldError("Idempotency-Key", reason),))


def digest_of(*parts: str) -> str:
    """Return the SHA-256 of some texts, which cannot run into each other."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def find_key(session: Session, digest: str, *, fingerprint: str, now: datetime) -> UUID | None:
    """Return what was submitted under a key, if anything.

    Raises:
        KeyReused: it was other work.
    """
    row = session.execute(_living(digest, now)).one_or_none()
    return None if row is None else _subject(row, fingerprint)


def is_entered(session: Session, digest: str, *, now: datetime) -> bool:
    """Return whether a key stands for something."""
    return session.execute(_living(digest, now)).one_or_none() is not None


def enter_key(session: Session, digest: str, subject_id: UUID, *, fingerprint: str, now: datetime) -> UUID:
    """Enter what is submitted under a key; returns what it stands for, which may have been entered just before.

    Of several that enter one key at once, the unique index lets one in; the others wait until it has committed. A key
    that has served its time is entered anew by the same statement, so that nobody can delete it in between.

    Raises:
        KeyReused: it stands for other work.
    """
    row = {"digest": digest, "fingerprint": fingerprint, "subject_id": subject_id, "created_at": now}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(KEY).values(row)
    served = KEY.c.created_at <= now - KEPT_FOR
    columns = {name: case((served, statement.excluded[name]), else_=KEY.c[name]) for name in row}
    entered = statement.on_conflict_do_update(index_elements=[KEY.c.digest], set_=columns)
    return _subject(session.execute(entered.returning(KEY.c.fingerprint, KEY.c.subject_id)).one(), fingerprint)


def point_key(session: Session, digest: str, subject_id: UUID) -> None:
    """Let a key that was just entered stand for something else."""
    session.execute(update(KEY).where(KEY.c.digest == digest).values(subject_id=subject_id))


def forget_keys(session: Session, *, now: datetime) -> None:
    """Delete the keys that have served."""
    session.execute(delete(KEY).where(KEY.c.created_at <= now - KEPT_FOR))


def _living(digest: str, now: datetime) -> Select[Any]:
    lives = (KEY.c.digest == digest, KEY.c.created_at > now - KEPT_FOR)
    return select(KEY.c.fingerprint, KEY.c.subject_id).where(*lives)


def _subject(row: Row[Any], fingerprint: str) -> UUID:
    if row.fingerprint != fingerprint:
        raise KeyReused("this Idempotency-Key was used for another request; give each request a key of its own")
    subject_id: UUID = row.subject_id
    return subject_id
