"""What the client needs from a model technology: one class per technology, named in `backend.inference.runtimes`."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from backend.inference.manifest import Manifest

Floats = npt.NDArray[np.float64]


class ModelRuntime(ABC):
    """A loaded model. It is shared by all threads of the process, so its methods must be safe to call at once."""

    keeps_memory: ClassVar[str | None] = None  # why a model that was dropped gives back less than it took

    @classmethod
    @abstractmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Build the model from its verified weights; one prediction may use up to `threads` threads.

        Raises:
            ArtifactError: the weights are not what this runtime and the manifest's columns need.
        """

    @abstractmethod
    def predict(self, rows: Floats) -> Floats:
        """Return the model's output, shape (n,), for C-ordered rows, shape (n, k), n > 0, in the manifest's order."""


class ExplainingRuntime(ModelRuntime):
    """A runtime that can also say what each column contributed."""

    @abstractmethod
    def explain(self, rows: Floats) -> Floats:
        """Return contributions, shape (n, k + 1), last column the bias; a row sums to the model's raw margin.

        The raw margin is the logit of the output for a probability, the output itself for a number.
        """


class AcceleratedRuntime(ModelRuntime):
    """A runtime with quicker ways to the same outputs."""

    @abstractmethod
    def accelerate(self, golden: Floats, *, weights: bytes, compiled: bytes | None) -> None:
        """Use from now on the quicker ways that predict the same here, the golden rows (n, k) among others.

        `weights` are those the model was loaded from, `compiled` is its machine code if there is any. Nothing is
        raised: where a quicker way fails, the ordinary one stays.
        """
