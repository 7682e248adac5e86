"""The committed artefacts give their golden outputs in the bare libraries, without any code of ours between."""

import hashlib
import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from backend.inference.runtimes.onnx import onnxruntime

ROOT = Path(__file__).parents[2] / "models_artifacts"
CATALOGUE = json.loads((ROOT / "model_map.json").read_text())["models"]


def folder_of(name: str) -> Path:
    return ROOT / name / CATALOGUE[name]["version"]


def manifest_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder_of(name) / "manifest.json").read_text())
    return content


def outputs(name: str, rows: np.ndarray) -> np.ndarray:
    manifest = manifest_of(name)
    weights = (folder_of(name) / manifest["file"]).read_bytes()
    if manifest["runtime"] == "lightgbm":
        return np.asarray(lightgbm.Booster(model_str=weights.decode()).predict(rows))
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: rows})
    return np.asarray(output).ravel()


@pytest.mark.parametrize("name", CATALOGUE)
def test_golden_rows_are_reproduced(name: str) -> None:
    golden = json.loads((folder_of(name) / "golden.json").read_text())
    rows = np.array(golden["rows"], dtype=np.float64)
    np.testing.assert_allclose(outputs(name, rows), golden["outputs"], atol=golden["tolerance"])


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_file_was_altered(name: str) -> None:
    folder = folder_of(name)
    for file, digest in manifest_of(name)["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest
    entry = CATALOGUE[name]["manifest_sha256"]
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == entry


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_artefact_stays_below_a_megabyte(name: str) -> None:
    assert sum(path.stat().st_size for path in folder_of(name).iterdir()) < 1_000_000
