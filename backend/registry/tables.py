"""Versions, the aliases that name one of them, the ledger of every decision, and what each process serves."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import BigId, Table, UtcDateTime


class ModelVersion(Table):
    """One version of one model; only its tags, its measured size and whether it is archived ever change."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "manifest_sha256"), Index(None, "model", "version"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    shipped: Mapped[bool]  # it lies in the folder of released models, which `model_map.json` lists; else in the store
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    signed_by: Mapped[str | None] = mapped_column(String(16))  # the id of the key
    source: Mapped[str] = mapped_column(String(500))  # where it came from
    tags: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    registered_by: Mapped[str] = mapped_column(String(200))
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    memory_bytes: Mapped[int | None] = mapped_column(BigId)  # what loading it took in a process of its own
    load_seconds: Mapped[float | None]
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ModelAlias(Table):
    """Which version an alias of a model names; `production` is what workers serve."""

    __tablename__ = "model_alias"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(16), primary_key=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("model_version.id"))  # None: it names none
    generation: Mapped[int] = mapped_column(Integer, default=0)  # how often it was moved; workers converge to it
    moved_at: Mapped[datetime] = mapped_column(UtcDateTime)
    moving_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # somebody prepares a move; not for ever


class LedgerEntry(Table):
    """One decision about one model. Entries are never changed: each holds the hash of the one before."""

    __tablename__ = "model_ledger"

    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # 1, 2, 3 … without a gap
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(64), index=True)
    alias: Mapped[str | None] = mapped_column(String(16))
    version: Mapped[str | None] = mapped_column(String(64))
    manifest_sha256: Mapped[str | None] = mapped_column(String(64))
    generation: Mapped[int | None] = mapped_column(Integer)
    registered_by: Mapped[str | None] = mapped_column(String(200))
    by: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(500))
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class ModelProcess(Table):
    """What one process serves of one model, as it says itself."""

    __tablename__ = "model_process"

    process: Mapped[str] = mapped_column(String(200), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    generation: Mapped[int] = mapped_column(Integer)
    version: Mapped[str | None] = mapped_column(String(64))
    sha256: Mapped[str | None] = mapped_column(String(64))  # of the weights
    error: Mapped[str | None] = mapped_column(String(2000))
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
