"""Which worker processes serve the jobs: each one writes while it lives, and when it last heard from the broker."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Integer, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from backend.clock import utc_now
from backend.extensions import Table, UtcDateTime, transaction

SEEN_EVERY = timedelta(seconds=5)
GONE_AFTER = timedelta(seconds=35)
DEAF_AFTER = timedelta(seconds=25)  # a worker that hears does so every ten seconds, or is at work
FORGOTTEN_AFTER = timedelta(days=1)


class WorkerProcess(Table):
    """One worker: when it last lived, and when it last received something from the broker or was at work."""

    __tablename__ = "worker_process"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    pid: Mapped[int] = mapped_column(Integer)
    queues: Mapped[list[str]] = mapped_column(JSON)
    models: Mapped[dict[str, Any]] = mapped_column(JSON)  # name to digest of the weights, or null and why
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heard_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_deaf(self) -> bool:
        """Whether it lives and yet receives nothing; its watchdog is about to end it."""
        return utc_now() - (self.heard_at or self.started_at) > DEAF_AFTER


def register_worker(*, name: str, pid: int, queues: list[str], models: dict[str, str | None]) -> None:
    """Enter a worker that is ready, in place of an earlier one of its name."""
    now = utc_now()
    with transaction() as session:
        session.execute(delete(WorkerProcess).where(WorkerProcess.seen_at < now - FORGOTTEN_AFTER))
        session.merge(
            WorkerProcess(
                name=name, pid=pid, queues=sorted(queues), models=models, started_at=now, seen_at=now, heard_at=now
            )
        )


def worker_seen(name: str, *, heard_at: datetime) -> bool:
    """Note that a worker lives, and when it last heard from the broker; returns whether it is known."""
    with transaction() as session:
        worker = session.get(WorkerProcess, name)
        if worker is not None:
            worker.seen_at, worker.heard_at = utc_now(), heard_at
        return worker is not None


def worker_left(name: str) -> None:
    """Forget a worker that stops."""
    with transaction() as session:
        session.execute(delete(WorkerProcess).where(WorkerProcess.name == name))


def present_workers() -> list[WorkerProcess]:
    """Return the workers seen lately, by name."""
    recent = WorkerProcess.seen_at > utc_now() - GONE_AFTER
    with transaction(read_only=True) as session:
        return list(session.scalars(select(WorkerProcess).where(recent).order_by(WorkerProcess.name)))
