"""A model that needs no library: its runtime sums the columns, so that every test can work out what to expect."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest

from backend.errors import ArtifactError
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.interfaces import ExplainingRuntime, Floats, ModelRuntime
from backend.inference.manifest import Calibration, Column, Golden, Manifest, Training, write_version
from backend.inference.runtimes import RUNTIMES


class SumRuntime(ModelRuntime):
    """Adds the columns and the number in the weights; `loads` counts how often it was built."""

    loads: ClassVar[list[str]] = []
    gate: ClassVar[threading.Event | None] = None

    def __init__(self, offset: float) -> None:
        self._offset = offset

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        cls.loads.append(f"{manifest.name} with {threads}")
        if cls.gate is not None:
            cls.gate.wait(5.0)
        if not content:
            raise ArtifactError("empty weights")
        return cls(float(content))

    def predict(self, rows: Floats) -> Floats:
        return np.asarray(rows.sum(axis=1) + self._offset)


class ExplainedSumRuntime(SumRuntime, ExplainingRuntime):
    def explain(self, rows: Floats) -> Floats:
        return np.column_stack((rows, np.full(len(rows), self._offset)))


@pytest.fixture(autouse=True)
def _sum_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "sum", f"{__name__}:SumRuntime")
    monkeypatch.setitem(RUNTIMES, "explained_sum", f"{__name__}:ExplainedSumRuntime")
    monkeypatch.setattr(SumRuntime, "loads", [])
    monkeypatch.setattr(SumRuntime, "gate", None)


@pytest.fixture
def loads() -> list[str]:
    """What the fake runtime was asked to load, in order."""
    return SumRuntime.loads


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Loads wait until this is set."""
    event = threading.Event()
    monkeypatch.setattr(SumRuntime, "gate", event)
    return event


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def catalogue(root: Path) -> Catalogue:
    return Catalogue(root)


@pytest.fixture
def client(catalogue: Catalogue) -> ModelClient:
    return ModelClient(catalogue)


@pytest.fixture
def write(root: Path) -> Callable[..., Path]:
    return lambda name="adder", **changes: write_sum(root, name, **changes)


def write_sum(
    root: Path,
    name: str,
    *,
    version: str = "1",
    runtime: str = "sum",
    offset: float = 0.5,
    calibration: Calibration | None = None,
    golden: Golden | None = None,
) -> Path:
    """Write a version of a model of the columns `a` and `b` whose output is a + b + offset."""
    manifest = Manifest(
        name=name,
        version=version,
        runtime=runtime,
        file="weights.txt",
        files={},
        columns=(
            Column(name="a", unit="1", description="first addend"),
            Column(name="b", unit="1", description="second addend"),
        ),
        output="a + b + offset",
        calibration=calibration,
        training=Training(data="none", fingerprint="0", seed=1, rows=0, since="2025-01-01", until="2025-01-02"),
        metrics={"error": 0.0},
    )
    golden = golden or Golden(rows=((1.0, 2.0), (-4.0, 0.0)), outputs=(3.0 + offset, -4.0 + offset))
    contents = {"weights.txt": str(offset).encode(), "golden.json": golden.model_dump_json().encode()}
    return write_version(root, manifest, contents)
