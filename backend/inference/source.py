"""What a client of models asks: which version of each is to be served now, and its files."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from backend.inference.manifest import Golden, Manifest


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of one model, every byte of it verified; `generation` is the decision that it is to be served."""

    manifest: Manifest
    weights: bytes
    golden: Golden
    generation: int = 0
    compiled: bytes | None = None  # machine code made of the weights by this installation


@dataclass(frozen=True, slots=True)
class Served:
    """What a process serves of one model; after a load that failed the version before it, with the error."""

    model: str
    generation: int
    version: str | None
    sha256: str | None  # of the weights
    error: str | None


class ModelSource(ABC):
    """The models of an installation. What is to be served may change at any time if it `follows`."""

    follows: ClassVar[bool] = False

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of all models, sorted, whatever state their files are in.

        Raises:
            ArtifactError: the catalogue itself is missing or unreadable.
        """

    @abstractmethod
    def require(self, model: str) -> None:
        """Check that there is such a model, whatever state its files are in.

        Raises:
            UnknownModel: there is not; the message lists those that are.
            ArtifactError: the catalogue itself is missing or unreadable.
        """

    @abstractmethod
    def manifest(self, model: str) -> Manifest:
        """Return the verified manifest of the version that is to be served.

        Raises:
            UnknownModel: no such model.
            ArtifactError: its entry or its manifest is missing, altered or unreadable.
            NotServed: no version of it is to be served.
            Unavailable: nobody can say which.
        """

    @abstractmethod
    def read(self, model: str) -> Artifact:
        """Read and verify every file of the version that is to be served.

        Raises:
            UnknownModel, ArtifactError, NotServed, Unavailable: as `manifest`.
        """

    @abstractmethod
    def read_exactly(self, model: str, identity: str) -> Artifact:
        """Read and verify the version of this `Manifest.identity`, whether it is to be served or not.

        Raises:
            ArtifactError: it is not kept any more, or a file is missing, altered or unreadable.
            UnknownModel, Unavailable: as `manifest`.
        """

    def generations(self) -> Mapping[str, int]:
        """Return the generation of each model that ever changed; a model that is not in it has 0.

        Raises:
            Unavailable: nobody can say it now.
        """
        return {}

    def wait(self, seconds: float) -> None:
        """Return when something may have changed, at the latest after so many seconds."""
        time.sleep(seconds)

    def report(self, served: Sequence[Served]) -> None:  # noqa: B027 - where nothing follows, nobody asks
        """Take down what this process serves now; also told when nothing changed, so that it is known to live.

        Raises:
            Unavailable: it cannot be stored now.
        """
