"""Predictions for everyone: each model is loaded once per process and shared by its threads."""

import ctypes
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
from pydantic import JsonValue

from backend.errors import ModelError, NotServed, SanguineError, Unavailable
from backend.inference.columns import Rows
from backend.inference.following import FollowingThread
from backend.inference.interfaces import Floats
from backend.inference.manifest import Manifest
from backend.inference.model import LoadedModel
from backend.inference.slots import ModelStats, PinnedModel, Slot
from backend.inference.source import ModelSource, Served

log = structlog.get_logger()

STALE_SECONDS = 3.0  # after which a use looks itself what is to be served: the thread that does it may be gone


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
    stats: ModelStats = field(default_factory=ModelStats)


class ModelClient:
    """The models of this process, safe to use from any thread; a process has one client.

    Where the source follows decisions, a thread brings what is loaded to the version that is to be served: the new one
    is loaded beside the old, takes its place in one step, and the old one is dropped when its last use ends.

    In a child forked after models were loaded, each is loaded again on first use and predicts with one thread, because
    the thread pools of OpenMP and onnxruntime do not survive a fork.
    """

    def __init__(self, source: ModelSource, *, threads: int = 1) -> None:
        self._source = source
        self._threads = threads
        self._slots: dict[str, Slot] = {}
        self._thread = FollowingThread()
        self._looked_at = 0.0
        self._told: list[Served] = []
        start_anew = weakref.WeakMethod(
            self._start_anew
        )  # a registration cannot be undone and must not keep the client
        os.register_at_fork(after_in_child=lambda: (bound := start_anew()) and bound())

    def predict(self, model: str, rows: Rows) -> Floats:
        """Return the calibrated output of `model` for each row, shape (n,); loads the model when it is not yet loaded.

        Raises:
            UnknownModel: no such model.
            ArtifactError: its files cannot be used.
            NotServed: it was decided that no version is served.
            Unavailable: nobody can say which version is to be served.
            ColumnsMismatch: the rows are not the columns the manifest names.
        """
        return self._call(LoadedModel.predict, model, rows)

    def explain(self, model: str, rows: Rows) -> Floats:
        """Return the contributions of each column, shape (n, k + 1), last column the bias; see `LoadedModel.explain`.

        Raises:
            NotServed: the model's runtime cannot explain.
            UnknownModel, ArtifactError, ColumnsMismatch: as `predict`.
        """
        return self._call(LoadedModel.explain, model, rows)

    def pin(self, model: str, *, identity: str | None = None) -> PinnedModel:
        """Return the version that is served now, to be used for all of one answer; loads the model when needed.

        With `identity`, the version of this `Manifest.identity` in its place.

        Raises:
            UnknownModel, ArtifactError, NotServed, Unavailable: as `predict`.
        """
        slot = self._slot(model)
        loaded = self._loaded(slot) if identity is None else slot.exactly(identity, threads=self._threads)
        return PinnedModel(slot, loaded)

    def manifest(self, model: str) -> Manifest:
        """Return the manifest of the version that this process predicts with; loads the model when needed.

        Raises:
            UnknownModel, ArtifactError: as `predict`.
        """
        return self._loaded(self._slot(model)).manifest

    def catalogued(self, model: str) -> Manifest:
        """Return the manifest of the version that the catalogue names, without loading the model.

        Raises:
            UnknownModel, ArtifactError: as `predict`.
        """
        return self._source.manifest(model)

    def preload(self, models: Iterable[str]) -> dict[str, SanguineError | None]:
        """Load `models` now, also those that failed a moment ago; return each one's error, or None when it is ready."""
        outcome: dict[str, SanguineError | None] = {}
        for model in models:
            try:
                slot = self._slot(model)
                slot.retry()
                self._loaded(slot)
                outcome[model] = None
            except (ModelError, NotServed, Unavailable) as error:
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
        return tuple(self._status(model) for model in self._source.names())

    def look(self) -> bool:
        """Bring what is loaded to what is to be served now; say whether anything changed.

        Raises:
            Unavailable: nobody can say what is to be served.
        """
        wanted = self._source.generations()
        self._looked_at = time.monotonic()
        slots = list(self._slots.copy().values())
        before = [slot.served() for slot in slots]
        for slot in slots:
            if slot.follow(wanted.get(slot.name, 0), threads=self._threads):
                log.info("model_replaced", model=slot.name, generation=slot.served().generation)
        return before != [slot.served() for slot in slots]

    def tell(self, *, again: bool = True) -> None:
        """Report what this process serves; without `again` only if it is not what was told last.

        Raises:
            Unavailable: the report cannot be stored.
        """
        served = [slot.served() for slot in self._slots.copy().values()]
        if again or served != self._told:
            self._source.report(served)
            self._told = served

    def wait(self, seconds: float) -> None:
        """Return when something may have changed, at the latest after so many seconds."""
        self._source.wait(seconds)

    def _call(self, operation: Callable[[LoadedModel, Rows], Floats], model: str, rows: Rows) -> Floats:
        slot = self._slot(model)
        started = time.perf_counter()
        try:
            result = operation(self._loaded(slot), rows)
        except Exception:
            slot.count(errors=1, seconds=time.perf_counter() - started)
            raise
        slot.count(rows=len(result), seconds=time.perf_counter() - started)
        return result

    def _slot(self, model: str) -> Slot:
        slot = self._slots.get(model)
        if slot is None:
            self._source.require(model)
            slot = self._slots.setdefault(model, Slot(model, self._source))
        return slot

    def _loaded(self, slot: Slot) -> LoadedModel:
        if self._source.follows:
            self._follow()
        return slot.loaded(threads=self._threads)

    def _follow(self) -> None:
        self._thread.ensure(self)
        if self._looked_at and time.monotonic() - self._looked_at > STALE_SECONDS:
            try:
                self.look()
            except Unavailable as error:  # what is loaded serves on
                self._looked_at = time.monotonic()
                log.warning("models_not_followed", reason=error)

    def _status(self, model: str) -> ModelStatus:
        slot = self._slots.get(model) or Slot(model, self._source)
        try:
            manifest = slot.model.manifest if slot.model else self._source.manifest(model)
        except (ModelError, NotServed) as error:
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
            self._source.read(model)
        except (ModelError, NotServed) as error:
            return str(error)
        return None

    def _start_anew(self) -> None:
        """Leave a forked child with nothing loaded, and with no lock that a thread of the parent may hold."""
        inherited, self._slots = self._slots, {}
        self._thread.forget()
        if any(slot.model for slot in inherited.values()):
            self._threads = 1
            # Never freed, not even at exit: onnxruntime would wait for pool threads that do not exist in this process.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
