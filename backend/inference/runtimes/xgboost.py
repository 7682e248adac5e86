"""XGBoost boosters from their own JSON or UBJSON, explained by TreeSHAP.

The library compares and answers in 32 bits, in training as in prediction. An empty text ends the process that parses
it. OpenMP keeps a pool for each thread that used it, which a fork copies without its workers.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Self

import numpy as np
import xgboost

from backend.errors import ArtifactError
from backend.inference.interfaces import ExplainingRuntime, Floats
from backend.inference.manifest import Manifest

BOOSTERS = ("gbtree", "dart")


class XGBoostRuntime(ExplainingRuntime):
    """One booster of trees with a single output, all of them used; NaN is a missing value.

    A call shares its rows between `threads` threads of OpenMP, which sleep while there is nothing to do.
    """

    keeps_memory: ClassVar[str | None] = "the C library holds what its parsing thread took, for the next model"

    def __init__(self, booster: xgboost.Booster, *, threads: int) -> None:
        self._booster = booster
        self._threads = threads

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Parse the booster; see `ModelRuntime.load`."""
        if not content.startswith(b"{"):
            raise ArtifactError("not an XGBoost model; save it with Booster.save_model('model.ubj')")
        # Parsing starts threads too. On a thread of its own, it leaves no pool behind in the caller's.
        with ThreadPoolExecutor(max_workers=1) as parser:
            try:
                booster = parser.submit(_parse, content, threads).result()
            except xgboost.core.XGBoostError as error:
                raise ArtifactError("not an XGBoost model; save it with Booster.save_model('model.ubj')") from error
        learner = json.loads(booster.save_config())["learner"]
        if learner["gradient_booster"]["name"] not in BOOSTERS:
            raise ArtifactError(
                f"a booster {learner['gradient_booster']['name']}; only {' and '.join(BOOSTERS)} are read"
            )
        shape = learner["learner_model_param"]
        if int(shape["num_class"]) > 1 or int(shape["num_target"]) > 1:
            raise ArtifactError("has several outputs per row; only one is supported")
        if booster.num_features() != len(manifest.columns):
            raise ArtifactError(
                f"trained on {booster.num_features()} columns, the manifest has {len(manifest.columns)}"
            )
        return cls(booster, threads=threads)

    def predict(self, rows: Floats) -> Floats:
        """Return the objective's own scale, a probability for `binary:logistic`, shape (n,)."""
        # Without a DMatrix nothing is copied or cached, and threads do not wait for each other.
        return np.asarray(self._booster.inplace_predict(rows, validate_features=False), dtype=np.float64)

    def explain(self, rows: Floats) -> Floats:
        """Return exact TreeSHAP contributions to the raw margin in 32 bits, shape (n, k + 1), last column the bias.

        Source: Lundberg et al., Nature Machine Intelligence 2 (2020), 56-67.
        """
        matrix = xgboost.DMatrix(rows, nthread=self._threads)
        found = self._booster.predict(matrix, pred_contribs=True, validate_features=False)
        return np.asarray(found, dtype=np.float64)


def _parse(content: bytes, threads: int) -> xgboost.Booster:
    return xgboost.Booster({"nthread": threads, "verbosity": 0}, model_file=bytearray(content))
