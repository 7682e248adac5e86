"""LightGBM boosters from their text format, explained by TreeSHAP.

Two facts of the library shape this file. Its thread count is one number for the whole process: calls with different
counts at the same moment write past a buffer and end the process, so every call names the same count. And OpenMP keeps
a pool for each thread that used it, which a fork copies without its workers: the next parallel region waits for ever.

A single row takes a shorter way (`lightgbm_single_row`), and several take a compiled forest where there is one
(`lightgbm_compiled`); each is used only after it has shown here that it predicts the same.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Self

import lightgbm
import numpy as np

from backend.errors import ArtifactError
from backend.inference.interfaces import AcceleratedRuntime, ExplainingRuntime, Floats
from backend.inference.manifest import Manifest
from backend.inference.runtimes.lightgbm_compiled import CompiledForest, rows_at_thresholds
from backend.inference.runtimes.lightgbm_single_row import SingleRow

# Otherwise its warnings go to standard output.
lightgbm.register_logger(logging.getLogger("lightgbm"))


class LightGBMRuntime(ExplainingRuntime, AcceleratedRuntime):
    """One booster with a single output; all its trees are used in every call, which its thread-safety needs."""

    def __init__(self, booster: lightgbm.Booster, *, threads: int) -> None:
        self._booster = booster
        self._threads = threads
        self._one_row = (1, booster.num_feature())
        self._single: SingleRow | None = None
        self._compiled: CompiledForest | None = None

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Parse the text model; see `ModelRuntime.load`."""
        try:
            booster = _parser(os.getpid()).submit(lightgbm.Booster, model_str=content.decode()).result()
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise ArtifactError("not a LightGBM text model; save it with Booster.model_to_string()") from error
        if booster.num_feature() != len(manifest.columns):
            raise ArtifactError(f"trained on {booster.num_feature()} columns, the manifest has {len(manifest.columns)}")
        if booster.num_model_per_iteration() != 1:
            raise ArtifactError(f"has {booster.num_model_per_iteration()} outputs per row; only one is supported")
        return cls(booster, threads=threads)

    def accelerate(self, golden: Floats, *, weights: bytes, compiled: bytes | None) -> None:
        """Look for quicker ways; see `AcceleratedRuntime.accelerate`."""
        self._single = SingleRow.find(self._booster, golden, self._run(golden), threads=self._threads)
        if compiled is not None:
            rows = np.concatenate((golden, rows_at_thresholds(weights, columns=golden.shape[1])))
            self._compiled = CompiledForest.find(compiled, self._booster, rows, threads=self._threads)

    def predict(self, rows: Floats) -> Floats:
        """Return the objective's own scale, a probability for a classifier, shape (n,)."""
        if self._single is not None and rows.shape == self._one_row:
            return self._single.predict(rows)
        if self._compiled is not None:
            return self._compiled.predict(rows, threads=self._threads)
        return self._run(rows)

    def explain(self, rows: Floats) -> Floats:
        """Return exact TreeSHAP contributions to the raw margin, shape (n, k + 1), last column the bias.

        Source: Lundberg et al., Nature Machine Intelligence 2 (2020), 56-67.
        """
        return self._run(rows, contributions=True)

    def _run(self, rows: Floats, *, contributions: bool = False) -> Floats:
        result = self._booster.predict(
            rows, num_iteration=-1, pred_contrib=contributions, num_threads=self._threads, verbosity=-1
        )
        return np.asarray(result, dtype=np.float64)


@lru_cache(maxsize=1)
def _parser(_process: int) -> ThreadPoolExecutor:
    """Return the thread that parses models in this process, and lives as long.

    Parsing runs on all cores whatever `threads` says. On a thread of its own, it leaves no pool behind in the caller's
    thread, which may be the one that forks, or was forked. In a forked child a thread should not end (ADR 13).
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="lightgbm-parser")
