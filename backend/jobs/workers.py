"""Which worker processes serve the jobs: each one writes a row when it is ready and while it hears from the broker."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Integer, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import Table, UtcDateTime, transaction
from backend.jobs.clock import utc_now

SEEN_EVERY = timedelta(seconds=10)
GONE_AFTER = timedelta(seconds=35)  # three missed signs of life
FORGOTTEN_AFTER = timedelta(days=1)


class WorkerProcess(Table):
    """One worker and when it last heard from the broker."""

    __tablename__ = "worker_process"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    pid: Mapped[int] = mapped_column(Integer)
    queues: Mapped[list[str]] = mapped_column(JSON)
    models: Mapped[dict[str, Any]] = mapped_column(JSON)  # name to digest of the weights, or null and why
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heard_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it last received something, or was at work


def register_worker(*, name: str, pid: int, queues: list[str], models: dict[str, str | None]) -> None:
    """Enter a worker that is ready, in place of an earlier one of its name."""
    now = utc_now()
    with transaction() as session:
        session.execute(delete(WorkerProcess).where(WorkerProcess.seen_at < now - FORGOTTEN_AFTER))
        session.merge(
            WorkerProcess(name=name, pid=pid, queues=sorted(queues), models=models, started_at=now, seen_at=now)
        )


def worker_seen(name: str) -> None:
    """Note that a worker still hears from the broker."""
    with transaction() as session:
        worker = session.get(WorkerProcess, name)
        if worker is not None:
            worker.seen_at = utc_now()


def worker_left(name: str) -> None:
    """Forget a worker that shut down."""
    with transaction() as session:
        session.execute(delete(WorkerProcess).where(WorkerProcess.name == name))


def present_workers() -> list[WorkerProcess]:
    """Return the workers seen lately, by name."""
    recent = WorkerProcess.seen_at > utc_now() - GONE_AFTER
    with transaction(read_only=True) as session:
        return list(session.scalars(select(WorkerProcess).where(recent).order_by(WorkerProcess.name)))
