"""The models that are to be served, as the database says: the source that every process follows."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import NotServed, Unavailable, UnknownModel
from backend.extensions import transaction
from backend.inference.catalogue import read_artifact, read_manifest
from backend.inference.manifest import CatalogueEntry, Manifest
from backend.inference.source import Artifact, ModelSource, Served
from backend.inference.store import ArtifactStore
from backend.registry.hints import Hints
from backend.registry.registry import Registry, entry_of
from backend.registry.states import Alias
from backend.registry.tables import ModelAlias, ModelProcess, ModelVersion

FORGOTTEN_AFTER = timedelta(minutes=10)  # the rows of a process that is gone


class LiveModels(ModelSource):
    """Production versions. A model about which nothing was ever decided is served as it was shipped.

    It may be asked from any thread: it brings its own application context.
    """

    follows: ClassVar[bool] = True

    def __init__(self, context: Callable[[], AbstractContextManager[object]], registry: Registry, hints: Hints) -> None:
        self.process: str | None = None  # the name of this process in reports; its host and number if nobody says
        self._context = context
        self._registry = registry
        self._hints = hints

    def names(self) -> tuple[str, ...]:
        """Return the shipped models and those that were registered here; see `ModelSource.names`."""
        with self._asking() as session:
            registered = session.scalars(select(ModelVersion.model).distinct())
            return tuple(sorted({*self._registry.shipped.names(), *registered}))

    def require(self, model: str) -> None:
        """Check that there is such a model; see `ModelSource.require`."""
        if model not in self._registry.shipped.names() and model not in (known := self.names()):
            raise UnknownModel(f"no model {model!r}; there are {', '.join(known) or 'none'}")

    def manifest(self, model: str) -> Manifest:
        """Return the manifest of the production version; see `ModelSource.manifest`."""
        store, entry, _ = self._live(model)
        return read_manifest(store, model, entry, trust=self._registry.trust)

    def read(self, model: str) -> Artifact:
        """Read and verify the production version; see `ModelSource.read`."""
        store, entry, generation = self._live(model)
        return self._compiled(read_artifact(store, model, entry, trust=self._registry.trust, generation=generation))

    def read_exactly(self, model: str, identity: str) -> Artifact:
        """Read this version; see `ModelSource.read_exactly`."""
        with self._asking() as session:
            versions = session.scalars(select(ModelVersion).where(ModelVersion.model == model)).all()
        for version in versions:
            if Manifest.model_validate(version.manifest).identity == identity:
                store = self._registry.store_of(version)
                return self._compiled(read_artifact(store, model, entry_of(version), trust=self._registry.trust))
        return self._compiled(self._registry.shipped.read_exactly(model, identity))

    def generations(self) -> Mapping[str, int]:
        """Return how often production was moved, by model; see `ModelSource.generations`."""
        moved = select(ModelAlias.model, ModelAlias.generation).where(ModelAlias.alias == Alias.PRODUCTION)
        with self._asking() as session:
            return {row.model: row.generation for row in session.execute(moved)}

    def wait(self, seconds: float) -> None:
        """Return at a hint, at the latest after so many seconds."""
        self._hints.wait(seconds)

    def report(self, served: Sequence[Served]) -> None:
        """Write what this process serves; see `ModelSource.report`."""
        process, now = self.process or f"{socket.gethostname()}/{os.getpid()}", utc_now()
        try:
            with self._context(), transaction() as session:
                session.execute(delete(ModelProcess).where(ModelProcess.seen_at < now - FORGOTTEN_AFTER))
                for one in served:
                    row = {
                        "generation": one.generation,
                        "version": one.version,
                        "sha256": one.sha256,
                        "error": one.error and one.error[:2000],
                        "seen_at": now,
                    }
                    key = (ModelProcess.process == process, ModelProcess.model == one.model)
                    if session.execute(update(ModelProcess).where(*key).values(row)).rowcount == 0:  # type: ignore[attr-defined] # an UPDATE gives a cursor result
                        session.execute(insert(ModelProcess).values(process=process, model=one.model, **row))
        except DBAPIError as error:
            raise Unavailable(f"what is served cannot be stored ({type(error.__cause__).__name__})") from error

    def _compiled(self, artifact: Artifact) -> Artifact:
        return replace(artifact, compiled=self._registry.compiled.find(artifact.manifest))

    def _live(self, model: str) -> tuple[ArtifactStore, CatalogueEntry, int]:
        """Return where the production version of a model lies, what it must be, and its generation."""
        asked = (
            select(ModelAlias, ModelVersion)
            .outerjoin(ModelVersion, ModelVersion.id == ModelAlias.version_id)
            .where(ModelAlias.model == model, ModelAlias.alias == Alias.PRODUCTION)
            .where(ModelAlias.generation > 0)  # 0: its first move is being prepared
        )
        with self._asking() as session:
            found = session.execute(asked).one_or_none()
        if found is None:
            self.require(model)
            if model not in self._registry.shipped.names():
                raise NotServed(f"no version of the model {model} was promoted to production")
            return self._registry.shipped.store, self._registry.shipped.entry(model), 0
        alias, version = found
        if version is None:
            raise NotServed(f"the model {model} was unloaded; promote a version of it, or load it again")
        return self._registry.store_of(version), entry_of(version), alias.generation

    @contextmanager
    def _asking(self) -> Iterator[Session]:
        try:
            with self._context(), transaction(read_only=True) as session:
                yield session
        except DBAPIError as error:  # for example before the first migration
            raise Unavailable(f"nobody can say what is live ({type(error.__cause__).__name__})") from error
