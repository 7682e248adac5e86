"""Keeping what was claimed: one thread per process extends the leases of the attempts that run in it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from operator import itemgetter
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import Cancelled, HandedBack, LeaseLost, Unavailable
from backend.extensions import transaction
from backend.jobs.claim import Claim
from backend.jobs.context import JobContext
from backend.jobs.news import current_news
from backend.jobs.states import JobState
from backend.jobs.tables import Job

log = structlog.get_logger()

LOOK_EVERY = 0.2  # seconds; how late a stopping worker is noticed
LONGEST_BEAT = 2.0  # seconds; a cancel is noticed and progress is seen within this time


class LeaseKeeper:
    """Beats for every attempt in this process: extends its lease, shows its progress, tells it when it must stop."""

    def __init__(
        self,
        application: Callable[[], AbstractContextManager[object]],
        *,
        lease: timedelta,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._application = application  # enters the application, as its thread must
        self._lease = lease
        self._stopping = stopping  # whether what runs must be handed back
        self._beat = min(lease.total_seconds() / 3, LONGEST_BEAT)
        self._lock = threading.Lock()
        self._held: dict[tuple[UUID, int], JobContext] = {}
        self._shown: dict[UUID, tuple[float, str | None]] = {}  # the progress at the last beat
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
        shown = {job_id: (context.fraction, context.note) for (job_id, _), context in held}
        with self._application():
            with transaction() as session:
                # In the order of those who end many together: nobody waits for one who waits for them.
                for (job_id, attempt), context in sorted(held, key=itemgetter(0)):
                    self._extend(session, job_id, attempt, context)
            before, self._shown = self._shown, shown
            current_news().tell(*(job_id for job_id, now in shown.items() if now != before.get(job_id, (0.0, None))))

    def look(self) -> None:
        """Ask every attempt to leave once the worker must stop; no database is needed for that."""
        if self._stopping():
            with self._lock:
                for context in self._held.values():
                    context.end(HandedBack("the worker stops"))

    def overdue(self) -> list[str]:
        """Return the attempts held here that are past their time, as "job/attempt"."""
        with self._lock:
            return [f"{job_id}/{attempt}" for (job_id, attempt), context in self._held.items() if context.overdue]

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
        beat_at = time.monotonic() + self._beat
        while True:
            time.sleep(min(self._beat, LOOK_EVERY))
            self.look()
            if time.monotonic() < beat_at:
                continue
            beat_at = time.monotonic() + self._beat
            try:
                self.beat()
            except Unavailable as error:
                # the lease outlives two missed beats; if the database stays away, the fencing token protects the job
                log.warning("heartbeat_missed", reason=error)
