"""What holds submissions back before anything is stored: how much waits already, and how much of it is one client's."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import cast

from limits import RateLimitItem, parse
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import func, select

from backend.errors import FieldError, Overloaded, TooMany, ValidationFailed
from backend.extensions import current, transaction
from backend.jobs.counts import SharedCounts
from backend.jobs.states import UNFINISHED, JobState
from backend.jobs.tables import JOB
from backend.settings import Settings

COUNT_EVERY = 0.5  # seconds
COUNTING_SHARE = 0.02  # of the time may go into counting, however much waits
RETRY_AFTER = 10.0  # seconds; a hint, nobody knows when fewer jobs will wait

_COUNTS = (
    select(JOB.c.queue, JOB.c.client, JOB.c.state, func.count())
    .where(JOB.c.state.in_(sorted(UNFINISHED)), JOB.c.parent_id.is_(None))  # parts are their job's own matter
    .group_by(JOB.c.queue, JOB.c.client, JOB.c.state)
)


class Limits:
    """Lets submissions in or refuses them.

    Unfinished jobs are counted at most every half second in each process, and what this process let in since is added:
    several processes together may let in a little more than the limits say.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_queued = settings.max_queued
        self._most_of_client = settings.client_jobs
        self._rate = Rate(settings) if settings.client_rate else None
        rate = self._rate.most if self._rate is not None else settings.client_jobs
        self._most_at_once = min(settings.max_queued, settings.client_jobs, rate)
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._count_at = 0.0
        self._queued: Counter[str] = Counter()
        self._unfinished: Counter[str] = Counter()

    def admit(self, client: str, jobs: Mapping[str, int]) -> None:
        """Let in `jobs` (how many for each queue) of a client.

        Raises:
            ValidationFailed: so many would never be let in.
            TooMany: the client has too many unfinished, or submits too fast.
            Overloaded: too many wait in a queue.
        """
        asked = sum(jobs.values())
        if asked > self._most_at_once:
            reason = f"{asked:,} at once are more than one client may have here; send at most {self._most_at_once:,}"
            raise ValidationFailed((FieldError("jobs", reason),))
        self._keep_counting()
        with self._lock:
            for queue, more in jobs.items():
                if self._queued[queue] + more > self._most_queued:
                    raise Overloaded(
                        f"{self._queued[queue]:,} jobs wait in the queue {queue}, and {self._most_queued:,} may;"
                        " nothing was stored, submit again later",
                        retry_after=RETRY_AFTER,
                    )
            if self._unfinished[client] + asked > self._most_of_client:
                raise TooMany(
                    f"you have {self._unfinished[client]:,} unfinished jobs and may have {self._most_of_client:,};"
                    " nothing was stored, submit again when some have ended",
                    retry_after=RETRY_AFTER,
                )
            if self._rate is not None:
                self._rate.admit(client, asked)
            self._queued.update(jobs)
            self._unfinished[client] += asked

    def _keep_counting(self) -> None:
        """Count again when it is time; while one thread asks the database, the others go by what was counted before."""
        started = time.monotonic()
        if started < self._count_at or not self._counting.acquire(blocking=False):
            return
        try:
            queued, unfinished = _count()
            with self._lock:
                self._queued, self._unfinished = queued, unfinished
            ended = time.monotonic()
            self._count_at = ended + max(COUNT_EVERY, (ended - started) / COUNTING_SHARE)
        finally:
            self._counting.release()


def _count() -> tuple[Counter[str], Counter[str]]:
    """Return how many jobs are queued in each queue, and how many each client has unfinished."""
    queued: Counter[str] = Counter()
    unfinished: Counter[str] = Counter()
    with transaction(read_only=True) as session:
        for queue, client, state, count in session.execute(_COUNTS):
            if state == JobState.QUEUED:
                queued[queue] += count
            if client is not None:
                unfinished[client] += count
    return queued, unfinished


class Rate:
    """How many jobs each client submits in a window."""

    def __init__(self, settings: Settings) -> None:
        self._item: RateLimitItem = parse(settings.client_rate)
        self._limiter = FixedWindowRateLimiter(SharedCounts(settings=settings))

    @property
    def most(self) -> int:
        """How many jobs a client may submit in one window."""
        return self._item.amount

    def admit(self, client: str, jobs: int) -> None:
        """Let in so many jobs of a client.

        Raises:
            TooMany: it must wait.
        """
        if not self._limiter.hit(self._item, client, cost=jobs):
            left = self._limiter.get_window_stats(self._item, client).reset_time - time.time()
            message = f"you may submit {self._item} jobs; nothing was stored, submit again when Retry-After has passed"
            raise TooMany(message, retry_after=max(left, 1.0))


def current_limits() -> Limits:
    """Return the limits of the current application."""
    return cast("Limits", current("limits"))
