"""scikit-learn estimators from skops, or, signed and allowed, from joblib.

skops builds what a description names and asks before each type. To what it trusts by itself, public estimators and the
types of numpy, this adds what fitted estimators hold inside. joblib executes what its author wrote, so a file is read
that way only if its name says so, by which `backend.inference.trust` has judged it.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Self

import joblib
import numpy as np
import skops.io  # type: ignore[import-untyped]  # it publishes no types
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it publishes no types

from backend.errors import ArtifactError
from backend.inference.interfaces import Floats, ModelRuntime
from backend.inference.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

TRUSTED = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
UNREADABLE = "not a model that can be read as {} ({}); save it again with skops.io.dump()"


class SklearnRuntime(ModelRuntime):
    """A classifier of two classes, whose output is the probability of the second, or a regressor of one number.

    OpenMP shares rows between `threads` threads, which sleep between calls. BLAS has one count for the whole process,
    set here at load. `n_jobs` is 1 everywhere: joblib would build a pool for each call, 14 ms for one row of a forest.
    """

    def __init__(self, estimator: BaseEstimator, *, names: tuple[str, ...] | None, threads: int) -> None:
        self._estimator = estimator
        self._classifies = is_classifier(estimator)
        self._names = names
        self._threads = threads
        self._pools = ThreadpoolController()
        self._pools.limit(limits=threads, user_api="blas")

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Build the estimator; see `ModelRuntime.load`."""
        kind = manifest.file.rpartition(".")[2]
        try:
            read = joblib.load(BytesIO(content)) if kind == "joblib" else skops.io.loads(content, trusted=list(TRUSTED))
        except Exception as error:  # of zip, JSON, pickle and every class they name
            raise ArtifactError(UNREADABLE.format(kind, str(error).partition("\n")[0])) from error
        if not isinstance(read, BaseEstimator) or not (is_regressor(read) or _tells_probability(read)):
            raise ArtifactError("neither a regressor nor a classifier with probabilities of two classes")
        width = getattr(read, "n_features_in_", len(manifest.columns))
        if width != len(manifest.columns):
            raise ArtifactError(f"fitted on {width} columns, the manifest has {len(manifest.columns)}")
        names = getattr(read, "feature_names_in_", None)  # where it was fitted on a data frame
        if names is not None and tuple(names) != manifest.column_names:
            raise ArtifactError("fitted on columns of other names, or in another order, than the manifest has")
        _forbid_pools(read)
        return cls(read, names=None if names is None else manifest.column_names, threads=threads)

    def predict(self, rows: Floats) -> Floats:
        """Return the probability of the second class, or a regressor's number, shape (n,)."""
        data = rows if self._names is None else _frame(rows, self._names)
        with self._pools.limit(limits=self._threads, user_api="openmp"):  # a count of the calling thread
            if self._classifies:
                return np.asarray(self._estimator.predict_proba(data)[:, 1], dtype=np.float64)
            return np.asarray(self._estimator.predict(data), dtype=np.float64)


def _tells_probability(estimator: BaseEstimator) -> bool:
    return is_classifier(estimator) and hasattr(estimator, "predict_proba") and len(estimator.classes_) == 2


def _forbid_pools(part: Any) -> None:  # noqa: ANN401 - whatever an estimator may hold
    """Set `n_jobs` to 1 in an estimator and in all that it was fitted with."""
    if isinstance(part, (list, tuple)):
        for one in part:
            _forbid_pools(one)
    elif type(part).__module__.startswith("sklearn.") and hasattr(part, "__dict__"):
        if hasattr(part, "n_jobs"):
            part.n_jobs = 1
        for one in vars(part).values():
            _forbid_pools(one)


def _frame(rows: Floats, names: tuple[str, ...]) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - half a second that models fitted on arrays need not spend

    return pd.DataFrame(rows, columns=list(names), copy=False)
