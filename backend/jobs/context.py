"""What a job's function is given: models, data, time, and the means to report progress and to see that it must stop."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import AttemptEnded, Expired, HandedBack, TimedOut
from backend.extensions import Table, transaction
from backend.inference.client import ModelClient
from backend.inference.columns import Rows
from backend.inference.manifest import Manifest
from backend.inference.slots import PinnedModel
from backend.jobs.checkpoint import save_checkpoint
from backend.jobs.parts import part_results

GIVE_WAY_EVERY = 5.0  # seconds an attempt works before it asks whether urgent work waits, and each time after that


class ModelUse:
    """What one attempt asked of one model."""

    __slots__ = ("calls", "rows", "seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.rows = 0
        self.seconds = 0.0


class Models(Protocol):
    """The part of `ModelClient` that a job may use."""

    def predict(self, model: str, rows: Rows) -> NDArray[np.float64]:
        """Return one calibrated number per row."""

    def explain(self, model: str, rows: Rows) -> NDArray[np.float64]:
        """Return one contribution per row and column, the bias last."""

    def manifest(self, model: str) -> Manifest:
        """Return what is known about the version in use."""


class RecordingModels:
    """The models as one attempt sees them: each is the same version from its first use to the end of the attempt.

    It remembers what was asked, so that the log and the result commit together.
    """

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self._pinned: dict[str, PinnedModel] = {}
        self.uses: dict[str, ModelUse] = {}

    def predict(self, model: str, rows: Rows) -> NDArray[np.float64]:
        """Return one calibrated number per row."""
        started = time.perf_counter()
        outputs = self._pin(model).predict(rows)
        use = self.uses.setdefault(model, ModelUse())
        use.calls += 1
        use.rows += len(outputs)
        use.seconds += time.perf_counter() - started
        return outputs

    def explain(self, model: str, rows: Rows) -> NDArray[np.float64]:
        """Return one contribution per row and column, the bias last."""
        return self._pin(model).explain(rows)

    def manifest(self, model: str) -> Manifest:
        """Return what is known about the version in use."""
        return self._pin(model).manifest

    @property
    def seconds(self) -> float:
        """Time spent waiting for models so far."""
        return sum(use.seconds for use in self.uses.values())

    def fresh(self) -> "RecordingModels":
        """Return the models as they are served now, with nothing remembered."""
        return RecordingModels(self._client)

    def share(self, jobs: int) -> "RecordingModels":
        """Return what falls to each of some jobs that asked together: every call, and its part of rows and time."""
        shared = self.fresh()
        shared._pinned = self._pinned  # noqa: SLF001 - of the same class
        for name, use in self.uses.items():
            mine = shared.uses[name] = ModelUse()
            mine.calls, mine.rows, mine.seconds = use.calls, max(round(use.rows / jobs), 1), use.seconds / jobs
        return shared

    def use(self, model: str, identity: str) -> None:
        """Use the version of this `Manifest.identity`, whichever is served now, for all that is left of the attempt.

        Raises:
            ModelError, Unavailable: it cannot be loaded any more.
        """
        self._pinned[model] = self._client.pin(model, identity=identity)

    def _pin(self, model: str) -> PinnedModel:
        pinned = self._pinned.get(model)
        return pinned or self._pinned.setdefault(model, self._client.pin(model))  # threads of an attempt share one


class JobContext:
    """One attempt, as the job's function sees it."""

    def __init__(
        self,
        *,
        job_id: UUID,
        models: RecordingModels,
        attempt: int = 1,
        checkpoint: dict[str, Any] | None = None,
        finish_by: datetime | None = None,
        gives_way: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.checkpoint = checkpoint
        self.models = models
        self.clock = clock
        self.stored: list[Table] = []
        self.fraction = 0.0
        self.note: str | None = None
        self._finish_by = finish_by
        self._gives_way = gives_way  # whether this attempt should make room for more urgent work
        self._asks_at = math.inf
        self._timeout = math.inf
        self._deadline = math.inf
        self._ended: AttemptEnded | None = None

    def begin(self, *, timeout: float) -> None:
        """Start the attempt's time; a job claimed together with others waits for its turn before this."""
        self._timeout = timeout
        left = math.inf if self._finish_by is None else (self._finish_by - utc_now()).total_seconds()
        self._deadline = time.monotonic() + min(timeout, left)
        self._asks_at = time.monotonic() + GIVE_WAY_EVERY

    def start_over(self) -> None:
        """Forget what was asked and stored so far; the attempt is run again."""
        self.models = self.models.fresh()
        self.stored = []

    def read(self) -> AbstractContextManager[Session]:
        """Open one short read-only transaction; leave it before predicting."""
        return transaction(read_only=True)

    def store(self, *rows: Table) -> None:
        """Add rows that are committed together with the result, or not at all."""
        self.stored.extend(rows)

    @contextmanager
    def commit(self, checkpoint: dict[str, Any]) -> Iterator[Session]:
        """Open one short transaction that commits a chunk of long work together with how far the job has come.

        `self.checkpoint` is what the last chunk left, also that of an earlier attempt of the job: go on from there.
        What the block changes in `checkpoint` is saved with it.

        Raises:
            AttemptEnded: the attempt must stop, or another one owns the job; nothing was written.
            HandedBack: the chunk was written, and urgent work waits for this worker.
        """
        self.check()
        with transaction() as session:
            before = dict(checkpoint)
            save_checkpoint(session, self.job_id, self.attempt, checkpoint)  # first: it keeps other attempts away
            yield session
            if checkpoint != before:
                save_checkpoint(session, self.job_id, self.attempt, checkpoint)
        self.checkpoint = checkpoint
        if time.monotonic() >= self._asks_at:
            self._asks_at = time.monotonic() + GIVE_WAY_EVERY
            if self._gives_way():
                raise HandedBack("urgent work waits")

    def part_results(self) -> list[dict[str, Any]]:
        """Return the results of the parts that this job was left to, in their order; empty before they ran."""
        with transaction(read_only=True) as session:
            return part_results(session, self.job_id)

    def progress(self, fraction: float, note: str | None = None) -> None:
        """Say how much is done, 0 to 1; shown on the job within seconds. Also a point where the attempt may end."""
        self.check()
        self.fraction, self.note = min(max(fraction, 0.0), 1.0), note

    def check(self) -> None:
        """Leave the attempt if it was cancelled, ran out of time or lost its lease.

        Raises:
            AttemptEnded: the reason.
        """
        if self._ended is None and self._finish_by is not None and utc_now() >= self._finish_by:
            self._ended = Expired("the job was not finished by its finish_by")
        if self._ended is None and self.overdue:
            self._ended = TimedOut(f"the attempt ran longer than {self._timeout:g} s")
        if self._ended is not None:
            raise self._ended

    def end(self, reason: AttemptEnded) -> None:
        """Ask the attempt to leave at its next check; called from the thread that keeps the lease."""
        self._ended = self._ended or reason

    @property
    def overdue(self) -> bool:
        """Whether the attempt has used up its time."""
        return time.monotonic() > self._deadline
