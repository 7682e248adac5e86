"""One model in memory: columns, runtime and calibration together."""

from typing import Self

import numpy as np

from backend.errors import ArtifactError, NotServed
from backend.inference.columns import ColumnOrder, Rows
from backend.inference.interfaces import AcceleratedRuntime, ExplainingRuntime, Floats, ModelRuntime
from backend.inference.manifest import Golden, Manifest
from backend.inference.runtimes import runtime_class
from backend.inference.source import Artifact
from backend.ml.calibration import LogisticCalibration


class LoadedModel:
    """A model that has reproduced its golden rows in this process; safe to share between threads."""

    def __init__(self, manifest: Manifest, runtime: ModelRuntime, *, generation: int = 0) -> None:
        self.manifest = manifest
        self.generation = generation
        self._runtime = runtime
        self._columns = ColumnOrder(manifest.columns)
        fitted = manifest.calibration
        self._calibration = LogisticCalibration(slope=fitted.slope, intercept=fitted.intercept) if fitted else None

    @classmethod
    def load(cls, artifact: Artifact, *, threads: int) -> Self:
        """Build the model from verified bytes and compare its outputs with the golden ones.

        Raises:
            ArtifactError: the runtime cannot load the weights, or predicts something else than when they were written.
        """
        manifest = artifact.manifest
        try:
            runtime = runtime_class(manifest.runtime).load(artifact.weights, manifest, threads=threads)
            _check_golden(runtime, artifact.golden, columns=len(manifest.columns))
            if isinstance(runtime, AcceleratedRuntime):
                golden = np.array(artifact.golden.rows, dtype=np.float64)
                runtime.accelerate(golden, weights=artifact.weights, compiled=artifact.compiled)
        except ArtifactError as error:
            raise ArtifactError(f"model {manifest.name}: {manifest.file} of {manifest.version}: {error}") from error
        return cls(manifest, runtime, generation=artifact.generation)

    def predict(self, data: Rows) -> Floats:
        """Return the calibrated output for each row, shape (n,).

        Raises:
            ColumnsMismatch: the rows are not the columns the manifest names.
        """
        rows = self._columns.rows(data)
        if not len(rows):
            return np.empty(0)
        outputs = self._runtime.predict(rows)
        return outputs if self._calibration is None else self._calibration.apply(outputs)

    def explain(self, data: Rows) -> Floats:
        """Return what each column contributed, shape (n, k + 1), last column the bias.

        A row sums to the prediction, or to its logit when the model is a classifier; calibration is included.

        Raises:
            ColumnsMismatch: the rows are not the columns the manifest names.
            NotServed: the model's runtime cannot explain.
        """
        if not isinstance(self._runtime, ExplainingRuntime):
            raise NotServed(
                f"model {self.manifest.name}: the runtime {self.manifest.runtime} cannot explain predictions"
            )
        rows = self._columns.rows(data)
        if not len(rows):
            return np.empty((0, rows.shape[1] + 1))
        contributions = self._runtime.explain(rows)
        if self._calibration is not None:
            # Calibration is linear on the logit, so its share for each column is exact.
            contributions = contributions * self._calibration.slope
            contributions[:, -1] += self._calibration.intercept
        return contributions


def _check_golden(runtime: ModelRuntime, golden: Golden, *, columns: int) -> None:
    rows = np.array(golden.rows, dtype=np.float64)
    if rows.shape[1] != columns:
        raise ArtifactError(f"the golden rows have {rows.shape[1]} columns, the manifest has {columns}")
    try:
        outputs = runtime.predict(rows)
    except Exception as error:  # each library has its own errors
        raise ArtifactError(
            f"cannot predict its golden rows ({type(error).__name__}); train the model again"
        ) from error
    if outputs.shape != (len(rows),):
        raise ArtifactError(f"gives outputs of shape {outputs.shape} for {len(rows)} golden rows; one each is needed")
    difference = np.abs(outputs - np.array(golden.outputs))
    if not (difference <= golden.tolerance).all():
        raise ArtifactError(
            f"does not reproduce its golden outputs (largest difference {difference.max():.3g}, allowed"
            f" {golden.tolerance:.3g}); check the library's version, or train the model again"
        )
