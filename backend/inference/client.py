"""Predictions for everyone: each model is loaded once per process and shared by its threads."""

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from pydantic import JsonValue

from backend.errors import ArtifactError, ModelError
from backend.inference.catalogue import Catalogue
from backend.inference.columns import Rows
from backend.inference.interfaces import Floats
from backend.inference.manifest import Manifest
from backend.inference.model import LoadedModel

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
class ModelStatus:
    """One line of the list of models; what a broken artefact cannot tell is None."""

    name: str
    version: str | None = None
    runtime: str | None = None
    sha256: str | None = None
    columns: tuple[str, ...] = ()
    loaded: bool = False
    error: str | None = None
    metrics: Mapping[str, JsonValue] = field(default_factory=dict)
    stats: ModelStats = ModelStats()


class _Slot:
    """The place of one model: empty, loaded, or failed and not to be tried again for a while."""

    def __init__(self) -> None:
        self.loading = threading.Lock()
        self.model: LoadedModel | None = None
        self.failure: str | None = None
        self.retry_at = 0.0
        self.stats = ModelStats()
        self._counting = threading.Lock()

    def count(self, *, rows: int = 0, errors: int = 0, seconds: float) -> None:
        with self._counting:
            now = self.stats
            self.stats = replace(
                now,
                calls=now.calls + 1,
                rows=now.rows + rows,
                errors=now.errors + errors,
                seconds=now.seconds + seconds,
            )

    def count_load(self, seconds: float) -> None:
        with self._counting:
            self.stats = replace(self.stats, load_seconds=seconds)


class ModelClient:
    """The models of this process, safe to use from any thread; a process has one client.

    In a child forked after models were loaded, each is loaded again on first use and predicts with one thread, because
    the thread pools of OpenMP and onnxruntime do not survive a fork.
    """

    def __init__(self, catalogue: Catalogue, *, threads: int = 1) -> None:
        self._catalogue = catalogue
        self._threads = threads
        self._slots: dict[str, _Slot] = {}
        start_anew = weakref.WeakMethod(
            self._start_anew
        )  # a registration cannot be undone and must not keep the client
        os.register_at_fork(after_in_child=lambda: (bound := start_anew()) and bound())

    def predict(self, model: str, rows: Rows) -> Floats:
        """Return the calibrated output of `model` for each row, shape (n,); loads the model when it is not yet loaded.

        Raises:
            UnknownModel: no such model.
            ArtifactError: its files cannot be used.
            ColumnsMismatch: the rows are not the columns the manifest names.
        """
        return self._call(model, lambda loaded: loaded.predict(rows))

    def explain(self, model: str, rows: Rows) -> Floats:
        """Return the contributions of each column, shape (n, k + 1), last column the bias; see `LoadedModel.explain`.

        Raises:
            NotServed: the model's runtime cannot explain.
            UnknownModel, ArtifactError, ColumnsMismatch: as `predict`.
        """
        return self._call(model, lambda loaded: loaded.explain(rows))

    def manifest(self, model: str) -> Manifest:
        """Return the manifest of the version that this process predicts with; loads the model when needed.

        Raises:
            UnknownModel, ArtifactError: as `predict`.
        """
        return self._loaded(model, self._slot(model)).manifest

    def catalogued(self, model: str) -> Manifest:
        """Return the manifest of the version that the catalogue names, without loading the model.

        Raises:
            UnknownModel, ArtifactError: as `predict`.
        """
        return self._catalogue.manifest(model)

    def preload(self, models: Iterable[str]) -> dict[str, ModelError | None]:
        """Load `models` now, also those that failed a moment ago; return each one's error, or None when it is ready."""
        outcome: dict[str, ModelError | None] = {}
        for model in models:
            try:
                slot = self._slot(model)
                slot.retry_at = 0.0
                self._loaded(model, slot)
                outcome[model] = None
            except ModelError as error:
                outcome[model] = error
        return outcome

    def stats(self) -> Mapping[str, ModelStats]:
        """Return a snapshot of the counters of every model this process was asked for."""
        return MappingProxyType({model: slot.stats for model, slot in sorted(self._slots.copy().items())})

    def describe(self) -> tuple[ModelStatus, ...]:
        """Return the state of every model in the catalogue as this process sees it, without loading any.

        The files of a model that is not loaded are verified anew.

        Raises:
            ArtifactError: the catalogue itself is missing or unreadable.
        """
        return tuple(self._status(model) for model in self._catalogue.names())

    def _call(self, model: str, operation: Callable[[LoadedModel], Floats]) -> Floats:
        slot = self._slot(model)
        started = time.perf_counter()
        try:
            result = operation(self._loaded(model, slot))
        except Exception:
            slot.count(errors=1, seconds=time.perf_counter() - started)
            raise
        slot.count(rows=len(result), seconds=time.perf_counter() - started)
        return result

    def _slot(self, model: str) -> _Slot:
        slot = self._slots.get(model)
        if slot is None:
            self._catalogue.require(model)
            slot = self._slots.setdefault(model, _Slot())
        return slot

    def _loaded(self, model: str, slot: _Slot) -> LoadedModel:
        if slot.model is not None:
            return slot.model
        with slot.loading:
            if slot.model is not None:
                return slot.model
            if slot.failure is not None and time.monotonic() < slot.retry_at:
                raise ArtifactError(slot.failure)
            started = time.perf_counter()
            try:
                loaded = LoadedModel.load(self._catalogue.read(model), threads=self._threads)
            except ModelError as error:
                slot.failure, slot.retry_at = str(error), time.monotonic() + RETRY_SECONDS
                raise
            slot.count_load(time.perf_counter() - started)
            slot.model, slot.failure = loaded, None
            return loaded

    def _status(self, model: str) -> ModelStatus:
        slot = self._slots.get(model) or _Slot()
        try:
            manifest = slot.model.manifest if slot.model else self._catalogue.manifest(model)
        except ModelError as error:
            return ModelStatus(name=model, error=str(error), stats=slot.stats)
        return ModelStatus(
            name=model,
            version=manifest.version,
            runtime=manifest.runtime,
            sha256=manifest.files.get(manifest.file),
            columns=manifest.column_names,
            loaded=slot.model is not None,
            error=None if slot.model else self._damage(model) or slot.failure,
            metrics=manifest.metrics,
            stats=slot.stats,
        )

    def _damage(self, model: str) -> str | None:
        try:
            self._catalogue.read(model)
        except ModelError as error:
            return str(error)
        return None

    def _start_anew(self) -> None:
        """Leave a forked child with nothing loaded, and with no lock that a thread of the parent may hold."""
        inherited, self._slots = self._slots, {}
        if any(slot.model for slot in inherited.values()):
            self._threads = 1
            # Never freed, not even at exit: onnxruntime would wait for pool threads that do not exist in this process.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
