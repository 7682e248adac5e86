"""What a prediction costs, by way and number of rows, in a fresh process: `python -m benchmarks.scoring MODEL`."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from statistics import median

import lightgbm
import numpy as np
import structlog
from numpy.typing import NDArray

from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.compiled import CompiledCache
from backend.inference.runtimes.lightgbm_compiled import rows_at_thresholds
from backend.inference.source import Artifact
from backend.settings import load_settings

ROWS = (1, 100, 10_000)
DISTINCT = 20_000  # rows; the same few again and again would teach the processor their way through the trees
ROUNDS = 15
SECONDS = 0.2  # for one way in one round
BOOSTER, CLIENT, COMPILED = "Booster.predict", "ModelClient.predict", "ModelClient.predict, compiled"

Batch = NDArray[np.float64]
Ways = dict[str, Callable[[Batch], object]]


class CompiledCatalogue(Catalogue):
    """Models with their machine code, where it could be made; the log says why not, on standard error."""

    def __init__(self, root: Path, cache: CompiledCache) -> None:
        super().__init__(root)
        self._cache = cache
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    def read(self, model: str) -> Artifact:
        """Read and verify a version, and add its machine code."""
        artifact = super().read(model)
        self._cache.compile(artifact.manifest, artifact.weights)
        return replace(artifact, compiled=self._cache.find(artifact.manifest))


def main(model: str) -> None:
    """Print, for each number of rows and each way, the microseconds of a call in each round."""
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder:
        settings = load_settings()
        compiled = CompiledCatalogue(settings.models_dir, CompiledCache(Path(folder), key=b"benchmark"))
        artifact = compiled.read(model)
        booster = lightgbm.Booster(model_str=artifact.weights.decode())
        client, quick = ModelClient(Catalogue(settings.models_dir)), ModelClient(compiled)
        ways: Ways = {
            BOOSTER: lambda rows: booster.predict(rows, num_threads=1),
            CLIENT: lambda rows: client.predict(model, rows),
        }
        if artifact.compiled is not None:
            ways[COMPILED] = lambda rows: quick.predict(model, rows)
        rows = rows_at_thresholds(artifact.weights, columns=booster.num_feature(), count=DISTINCT)
        print(json.dumps({count: _rounds(ways, np.split(rows, DISTINCT // count)) for count in ROWS}))


def _rounds(ways: Ways, batches: list[Batch]) -> dict[str, list[float]]:
    """Return the microseconds of a call in each round; each way has its turn in each."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call(batches[0])
    for _ in range(ROUNDS):
        for name, call in ways.items():
            taken[name].append(_microseconds(call, batches))
    return taken


def _microseconds(call: Callable[[Batch], object], batches: list[Batch]) -> float:
    each = []
    began = now = time.perf_counter()
    for batch in cycle(batches):
        started = now
        call(batch)
        now = time.perf_counter()
        each.append(now - started)
        if now > began + SECONDS:
            return 1e6 * median(each)
    raise AssertionError("there are batches")


if __name__ == "__main__":
    main(sys.argv[1])
