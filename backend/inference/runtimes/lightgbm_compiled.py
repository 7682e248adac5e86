"""A LightGBM forest as machine code, which lleaves compiled (`backend.inference.compiled`); two to seven times as fast.

lleaves reads LightGBM's text itself, so whether it understood it is looked at wherever its code is loaded: the outputs
must be those of LightGBM for rows that lie at the thresholds of the forest, one step beside them, and where values are
missing or without end. Linear trees, which it would read as ordinary ones, do not pass. One difference is known and
left out: LightGBM takes numbers within 1e-35 of zero for zero, the compiled forest takes them as they are.
"""

import ctypes
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import Self

import lightgbm
import numpy as np
import structlog
from numpy.typing import NDArray

from backend.inference.interfaces import Floats

log = structlog.get_logger()

AGREEMENT = 1e-12  # the order of summation differs, nothing else
ROWS = 4_096
TREES_READ = 500  # whose thresholds make the rows
FEW_ROWS = 64  # for which the GIL is kept, as for one row of LightGBM
ROWS_PER_THREAD = 5_000  # fewer are done before another thread has started
ENTRY = "forest_root"  # lleaves' name of the function; a part of what it promises, for those who link it

_SPLITS = re.compile(rb"^split_feature=(.+)\nsplit_gain=.*\nthreshold=(.+)\ndecision_type=(.+)$", re.MULTILINE)
_ZERO = float(np.float32(1e-35))
_SPECIAL = np.array([np.nan, np.nan, 0.0, -0.0, np.inf, -np.inf, 1e300])
_CATEGORIES = np.arange(-1.0, 64.0, 0.5)
# The rows, where the outputs go, the first row, the one after the last.
_ARGUMENTS = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
_KEEPING_GIL = ctypes.PYFUNCTYPE(None, *_ARGUMENTS)
_WITHOUT_GIL = ctypes.CFUNCTYPE(None, *_ARGUMENTS)


class CompiledForest:
    """Machine code in memory, and what keeps it there."""

    def __init__(self, code: bytes) -> None:
        import llvmlite.binding as llvm  # type: ignore[import-untyped] # noqa: PLC0415 - optional, and large

        llvm.initialize()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(reloc="pic", codemodel="large")
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.set_object_cache(getbuffer_func=lambda _: code)
        self._engine.finalize_object()
        address = self._engine.get_function_address(ENTRY)
        if not address:
            raise RuntimeError(f"no function {ENTRY}")
        self._call, self._call_keeping_gil = _WITHOUT_GIL(address), _KEEPING_GIL(address)

    def predict(self, rows: Floats, *, threads: int) -> Floats:
        """Return the output, shape (n,), of C-ordered rows, shape (n, k), of as many columns as the forest has."""
        count = len(rows)
        outputs = np.empty(count)
        data, results = rows.ctypes.data, outputs.ctypes.data
        parts = min(threads, count // ROWS_PER_THREAD)
        if count <= FEW_ROWS:
            self._call_keeping_gil(data, results, 0, count)
        elif parts < 2:
            self._call(data, results, 0, count)
        else:
            edges = [count * part // parts for part in range(parts + 1)]
            with ThreadPoolExecutor(max_workers=parts) as pool:
                for done in [pool.submit(self._call, data, results, *part) for part in pairwise(edges)]:
                    done.result()
        return outputs

    @classmethod
    def find(cls, code: bytes, booster: lightgbm.Booster, rows: Floats, *, threads: int) -> Self | None:
        """Return the forest if it predicts for `rows` what `booster` does, and say in the log when it does not."""
        try:
            forest = cls(code)
        except (ImportError, RuntimeError) as error:  # no llvmlite, or LLVM refuses the code
            log.warning("compiled_model_unused", reason=error)
            return None
        difference = largest_difference(forest, booster, rows, threads=threads)
        if not difference <= AGREEMENT:
            log.warning("compiled_model_unused", difference=difference)
            return None
        return forest


def largest_difference(forest: CompiledForest, booster: lightgbm.Booster, rows: Floats, *, threads: int) -> float:
    """Return how far the outputs differ at most, by their size where that is above 1."""
    expected = np.asarray(booster.predict(rows, num_iteration=-1, num_threads=threads, verbosity=-1), dtype=np.float64)
    difference = np.abs(forest.predict(rows, threads=threads) - expected) / np.maximum(np.abs(expected), 1.0)
    return float(difference.max())


def rows_at_thresholds(weights: bytes, *, columns: int, count: int = ROWS, seed: int = 1) -> Floats:
    """Return rows, shape (count, columns), of thresholds of a text model, their neighbours, and special values."""
    splits = [
        tuple(np.array(numbers.split(), dtype=np.float64) for numbers in found.groups())
        for found in islice(_SPLITS.finditer(weights), TREES_READ)
    ]
    feature, threshold, kind = np.concatenate(splits, axis=1) if splits else np.empty((3, 0))
    categorical = kind.astype(np.int64) & 1 == 1
    random = np.random.default_rng(seed)
    rows = np.empty((count, columns))
    for column in range(columns):
        rows[:, column] = random.choice(_values(threshold[feature == column], categorical[feature == column]), count)
    special = random.random(rows.shape) < 0.1
    rows[special] = random.choice(_SPECIAL, int(special.sum()))
    rows[np.abs(rows) <= _ZERO] = 0.0
    return rows


def _values(threshold: Floats, categorical: NDArray[np.bool_]) -> Floats:
    """Return what a column may hold; the threshold of a categorical split is a place in a list of categories."""
    numbers = threshold[~categorical]
    beside = [np.nextafter(numbers, towards) for towards in (-np.inf, np.inf)]
    return np.concatenate((numbers, *beside, _CATEGORIES if categorical.any() else _SPECIAL))
