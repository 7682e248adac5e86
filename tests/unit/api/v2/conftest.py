from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from backend.extensions import db
from backend.inference.manifest import Column, Golden, Manifest, Training, write_version
from backend.inference.runtimes import RUNTIMES
from backend.settings import Settings
from tests.unit.conftest import create_tables
from tests.unit.inference.conftest import SumRuntime

COLUMNS = (("a", "float64"), ("b", "float64"), ("count", "int64"))


@pytest.fixture(autouse=True)
def _sum_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "sum", f"{SumRuntime.__module__}:SumRuntime")
    monkeypatch.setattr(SumRuntime, "gate", None)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Release a model whose output is a + b + count + 0.5."""

    def release(name: str = "adder", *, version: str = "7", weights: str = "0.5") -> None:
        manifest = Manifest(
            name=name,
            version=version,
            runtime="sum",
            file="weights.txt",
            files={},
            columns=tuple(Column(name=one, dtype=dtype, unit="1", description=one) for one, dtype in COLUMNS),
            output="a + b + count + offset",
            training=Training(data="none", fingerprint="0", seed=1, rows=0, since="2025-01-01", until="2025-01-02"),
        )
        golden = Golden(rows=((1.0, 2.0, 3.0),), outputs=(6.5,))
        contents = {"weights.txt": weights.encode(), "golden.json": golden.model_dump_json().encode()}
        write_version(tmp_path / "models", manifest, contents)

    return release


@pytest.fixture
def app(tmp_path: Path, write: Callable[..., None]) -> Iterator[Flask]:
    """An application with the model `adder`, without domains."""
    write()
    settings = Settings(data_dir=tmp_path, models_dir=tmp_path / "models", log_level="ERROR", _env_file=None)
    app = create_app(settings, ())
    with app.app_context():
        create_tables()
        yield app
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
