"""Keeping what was claimed: one thread per process extends the leases of the attempts that run in it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.errors import Cancelled, LeaseLost, Unavailable
from backend.extensions import transaction
from backend.jobs.claim import Claim
from backend.jobs.clock import utc_now
from backend.jobs.context import JobContext
from backend.jobs.states import JobState
from backend.jobs.tables import Job

log = structlog.get_logger()

LONGEST_BEAT = 2.0  # seconds; a cancel is noticed and progress is seen within this time


class LeaseKeeper:
    """Beats for every attempt in this process: extends its lease, shows its progress, tells it when it must stop."""

    def __init__(self, application: Callable[[], AbstractContextManager[object]], *, lease: timedelta) -> None:
        self._application = application  # enters the application, as its thread must
        self._lease = lease
        self._beat = min(lease.total_seconds() / 3, LONGEST_BEAT)
        self._lock = threading.Lock()
        self._held: dict[tuple[UUID, int], JobContext] = {}
        self._pid = 0

    @contextmanager
    def holding(self, claim: Claim, context: JobContext) -> Iterator[None]:
        """Keep the lease of one attempt while the block runs."""
        self._ensure_thread()
        key = (claim.job_id, claim.attempt)
        with self._lock:
            self._held[key] = context
        try:
            yield
        finally:
            with self._lock:
                del self._held[key]

    def beat(self) -> None:
        """Extend every lease held here once.

        An attempt past its time is not extended: when it does not leave by itself, its lease runs out and the job
        moves on without it.
        """
        with self._lock:
            held = [(key, context) for key, context in self._held.items() if not context.overdue]
        if not held:
            return
        with self._application(), transaction() as session:
            for (job_id, attempt), context in held:
                self._extend(session, job_id, attempt, context)

    def _extend(self, session: Session, job_id: UUID, attempt: int, context: JobContext) -> None:
        row = session.execute(
            update(Job)
            .where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
            .values(lease_until=utc_now() + self._lease, progress=context.fraction, progress_note=context.note)
            .returning(Job.cancel_requested_at)
            .execution_options(synchronize_session=False)
        ).one_or_none()
        if row is None:
            context.end(LeaseLost(f"attempt {attempt} of job {job_id} no longer owns it"))
        elif row.cancel_requested_at is not None:
            context.end(Cancelled("cancelled on request"))

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._held.clear()  # after a fork: what the parent held is not ours
            self._pid = os.getpid()
            threading.Thread(target=self._run, name="lease-keeper", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._beat):
            try:
                self.beat()
            except Unavailable as error:
                # the lease outlives two missed beats; if the database stays away, the fencing token protects the job
                log.warning("heartbeat_missed", error=str(error))
