"""Predictions a second from some threads that may use some each: `python -m benchmarks.threads MODEL OUTER INNER`.

A process has one thread count, so each pair has a process of its own.
"""

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.compiled import CompiledCache
from backend.inference.runtimes.lightgbm_compiled import rows_at_thresholds
from backend.settings import load_settings
from benchmarks.scoring import CLIENT, COMPILED, CompiledCatalogue

ROWS = 20_000
SECONDS = 2.0


def main(model: str, outer: int, inner: int) -> None:
    """Print the rows a second without and with machine code."""
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder:
        root = load_settings().models_dir
        compiled = CompiledCatalogue(root, CompiledCache(Path(folder), key=b"benchmark"))
        artifact = compiled.read(model)
        sources = {CLIENT: Catalogue(root)} | ({COMPILED: compiled} if artifact.compiled else {})
        rows = rows_at_thresholds(artifact.weights, columns=len(artifact.manifest.columns), count=ROWS)
        clients = {name: ModelClient(source, threads=inner) for name, source in sources.items()}
        print(json.dumps({name: _rate(client, model, rows, outer=outer) for name, client in clients.items()}))


def _rate(client: ModelClient, model: str, rows: np.ndarray, *, outer: int) -> float:
    client.predict(model, rows)
    until = time.perf_counter() + SECONDS

    def predict() -> int:
        calls = 0
        while time.perf_counter() < until:
            client.predict(model, rows)
            calls += 1
        return calls

    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=outer) as pool:
        calls = sum(done.result() for done in [pool.submit(predict) for _ in range(outer)])
    return calls * len(rows) / (time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
