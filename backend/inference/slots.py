"""What one process holds of one model, and what it counts of it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from backend.errors import ModelError, NotServed, SanguineError
from backend.inference.columns import Rows
from backend.inference.interfaces import Floats
from backend.inference.manifest import Manifest
from backend.inference.model import LoadedModel
from backend.inference.source import ModelSource, Served

RETRY_SECONDS = 30.0  # how long a failed load is answered from memory; the files are not read again for every request


@dataclass(frozen=True, slots=True)
class ModelStats:
    """What one model did in this process; `seconds` is the time spent in all calls."""

    calls: int = 0
    rows: int = 0
    errors: int = 0
    seconds: float = 0.0
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """A load that failed: of which generation, if that was known, and until when it is not tried again."""

    generation: int | None
    error: ModelError | NotServed
    until: float


class Slot:
    """The place of one model: empty, loaded, or failed and not to be tried again for a while.

    A version that is loaded serves until another takes its place, whatever becomes of the load.
    """

    def __init__(self, name: str, source: ModelSource) -> None:
        self.name = name
        self.model: LoadedModel | None = None
        self._calls = self._rows = self._errors = 0
        self._seconds = 0.0
        self._load_seconds: float | None = None
        self._source = source
        self._others: WeakValueDictionary[str, LoadedModel] = WeakValueDictionary()  # by their identity
        self._failure: _Failure | None = None
        self._loading = threading.Lock()
        self._counting = threading.Lock()

    @property
    def stats(self) -> ModelStats:
        """What the model did until now."""
        with self._counting:
            return ModelStats(self._calls, self._rows, self._errors, self._seconds, self._load_seconds)

    @property
    def failure(self) -> str | None:
        """Why the last load failed, None if it did not."""
        return str(self._failure.error) if self._failure else None

    def loaded(self, *, threads: int) -> LoadedModel:
        """Return the model, loaded now if it is not yet.

        Raises:
            ModelError, NotServed, Unavailable: it cannot be loaded.
        """
        if self.model is not None:
            return self.model
        with self._loading:
            if self.model is not None:
                return self.model
            if self._failure is not None and time.monotonic() < self._failure.until:
                raise type(self._failure.error)(str(self._failure.error))
            return self._load(None, threads=threads)

    def exactly(self, identity: str, *, threads: int) -> LoadedModel:
        """Return the version of this `Manifest.identity`, kept in memory as long as somebody uses it.

        Raises:
            ModelError, Unavailable: it cannot be loaded.
        """
        if self.model is not None and self.model.manifest.identity == identity:
            return self.model
        with self._loading:
            model = self._others.get(identity)
            if model is None:
                model = LoadedModel.load(self._source.read_exactly(self.name, identity), threads=threads)
                self._others[identity] = model
            return model

    def follow(self, generation: int, *, threads: int) -> bool:
        """Load the version of a generation beside the one that serves, and let it take its place; say if it did."""
        model, failure = self.model, self._failure
        if failure is not None:
            settled = failure.generation == generation and time.monotonic() < failure.until
        else:
            settled = model is None or model.generation == generation
        if settled:
            return False
        with self._loading:
            try:
                self._load(generation, threads=threads)
            except SanguineError:  # the slot remembers it; the version before serves on
                return False
        return True

    def retry(self) -> None:
        """Let the next use try again what failed a moment ago."""
        if self._failure is not None:
            self._failure = replace(self._failure, until=0.0)

    def served(self) -> Served:
        """Say what serves here."""
        model, failure = self.model, self._failure
        manifest = model.manifest if model else None
        return Served(
            model=self.name,
            generation=model.generation if model else (failure.generation if failure else None) or 0,
            version=manifest.version if manifest else None,
            sha256=manifest.sha256 if manifest else None,
            error=str(failure.error) if failure else None,
        )

    def count(self, *, rows: int = 0, errors: int = 0, seconds: float) -> None:
        """Add one call."""
        with self._counting:
            self._calls += 1
            self._rows += rows
            self._errors += errors
            self._seconds += seconds

    def _load(self, generation: int | None, *, threads: int) -> LoadedModel:
        started = time.perf_counter()
        try:
            loaded = LoadedModel.load(self._source.read(self.name), threads=threads)
        except (ModelError, NotServed) as error:
            if isinstance(error, NotServed):  # somebody decided so
                self.model = None
            self._failure = _Failure(generation, error, time.monotonic() + RETRY_SECONDS)
            raise
        self._load_seconds = time.perf_counter() - started
        if self.model is not None:
            self._others[self.model.manifest.identity] = self.model
        self.model, self._failure = loaded, None
        return loaded


class PinnedModel:
    """One version of one model, which stays the same for whoever holds this, whatever is loaded meanwhile."""

    def __init__(self, slot: Slot, model: LoadedModel) -> None:
        self._slot = slot
        self._model = model

    @property
    def manifest(self) -> Manifest:
        """What is known about the version."""
        return self._model.manifest

    def predict(self, rows: Rows) -> Floats:
        """Return the calibrated output for each row, shape (n,); see `LoadedModel.predict`."""
        return self._counted(self._model.predict, rows)

    def explain(self, rows: Rows) -> Floats:
        """Return the contributions of each column, shape (n, k + 1); see `LoadedModel.explain`."""
        return self._counted(self._model.explain, rows)

    def _counted(self, operation: Callable[[Rows], Floats], rows: Rows) -> Floats:
        started = time.perf_counter()
        try:
            result = operation(rows)
        except Exception:
            self._slot.count(errors=1, seconds=time.perf_counter() - started)
            raise
        self._slot.count(rows=len(result), seconds=time.perf_counter() - started)
        return result
