"""Single rows after a fork, and forests compiled in a process of their own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from backend.inference import compiled
from backend.inference.catalogue import Catalogue
from backend.inference.compiled import CompiledCache
from backend.inference.manifest import Column, Manifest, Training, digest
from backend.inference.model import LoadedModel
from backend.inference.runtimes.lightgbm_compiled import CompiledForest
from tests.said import said_by

PREDICT_ONE_BY_ONE_BEFORE_AND_AFTER_A_FORK = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient

catalogue = Catalogue(Path(sys.argv[1]))
model = "donor_availability"
client, artifact = ModelClient(catalogue, threads=2), catalogue.read(model)
rows = np.array(artifact.golden.rows, dtype=np.float64)

def one_by_one():  # with threads that live on: see below
    pools.append(ThreadPoolExecutor(max_workers=4))
    return [score.item() for score in pools[-1].map(lambda row: client.predict(model, row), rows[:, np.newaxis])]

pools = []
expected = one_by_one()
child = os.fork()
signal.alarm(30)
if child == 0:  # ends as billiard ends a worker's children; ADR 13 says what happens otherwise
    os._exit(0 if one_by_one() == expected else 3)
status = os.waitpid(child, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) or (0 if one_by_one() == expected else 4))
"""
MODELS = Path(__file__).parents[2] / "models_artifacts"


def test_a_forked_child_predicts_single_rows_as_its_parent_does() -> None:
    command = [sys.executable, "-c", PREDICT_ONE_BY_ONE_BEFORE_AND_AFTER_A_FORK, str(MODELS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


# --- compiling


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    binding = pytest.importorskip("llvmlite.binding")
    if not hasattr(binding, "PassManagerBuilder"):
        pytest.skip("lleaves needs llvmlite < 0.45")
    return CompiledCache(tmp_path / "compiled", key=b"key")


def forest(**options: object) -> tuple[Manifest, bytes]:
    rows = np.random.default_rng(1).normal(size=(500, 2))
    settings = {"objective": "regression", "num_threads": 1, "verbosity": -1} | options
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, rows @ [1.0, -2.0]), num_boost_round=5)
    weights = booster.model_to_string().encode()
    manifest = Manifest(
        name="trees",
        version="1",
        runtime="lightgbm",
        file="model.txt",
        files={"model.txt": digest(weights)},
        columns=tuple(Column(name=name, unit="1", description="column") for name in "ab"),
        output="number",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )
    return manifest, weights


def test_a_version_that_was_compiled_predicts_with_its_machine_code(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = Catalogue(MODELS).read("donor_seeker_match")
    rows = np.tile(np.array(artifact.golden.rows, dtype=np.float64), (20, 1))
    assert cache.compile(artifact.manifest, artifact.weights)
    compiled = replace(artifact, compiled=cache.find(artifact.manifest))
    expected = LoadedModel.load(artifact, threads=1).predict(rows)
    asked: list[int] = []
    original = CompiledForest.predict

    def predict(self: CompiledForest, rows: np.ndarray, *, threads: int) -> np.ndarray:
        asked.append(len(rows))
        return original(self, rows, threads=threads)

    model = LoadedModel.load(compiled, threads=1)
    monkeypatch.setattr(CompiledForest, "predict", predict)
    np.testing.assert_allclose(model.predict(rows), expected, rtol=0.0, atol=1e-12)
    assert asked == [len(rows)]


def test_linear_trees_which_lleaves_would_misread_are_refused(cache: CompiledCache) -> None:
    manifest, weights = forest(linear_tree=True)
    with said_by(compiled) as logs:
        assert not cache.compile(manifest, weights)
    assert str(logs[0]["reason"]) == "lleaves does not know linear trees"


def test_a_compilation_that_takes_too_long_is_ended(cache: CompiledCache, tmp_path: Path) -> None:
    manifest, weights = forest()
    with said_by(compiled) as logs:
        assert not cache.compile(manifest, weights, seconds=0.2)
    assert str(logs[0]["reason"]) == "it took longer than 0 s"
    assert list((tmp_path / "compiled").iterdir()) == []
