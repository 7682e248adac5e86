from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from backend.app import create_app
from backend.batches import imports, predict
from backend.batches.declaration import RowScorer
from backend.domains.blood.resources import RESOURCES
from backend.domains.domain import Domain
from backend.domains.platform.domain import DOMAIN as PLATFORM
from backend.extensions import db
from backend.inference.manifest import Column as ModelColumn
from backend.inference.manifest import Golden, Manifest, Training, write_version
from backend.inference.runtimes import RUNTIMES
from backend.jobs.context import Models
from backend.resources.declaration import Refused
from backend.settings import Settings
from backend.tabular.columns import Column, Kind
from tests.unit.batches.file_service import FileService
from tests.unit.conftest import create_tables
from tests.unit.inference.conftest import SumRuntime, write_sum


class NumberRow(BaseModel):
    """A whole number, and something that may be said about it."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(le=1000)
    note: str | None = Field(default=None, max_length=5)


def halve(rows: Sequence[NumberRow], models: Models, as_of: datetime) -> list[tuple[Any, ...] | Refused]:
    """Halve numbers, odd ones excepted, and say which year it is."""
    return [Refused("number", "is odd") if row.number % 2 else (row.number // 2, row.note, as_of.year) for row in rows]


HALVES = RowScorer(
    name="test.halves",
    summary="Half of each number",
    row=NumberRow,
    columns=(Column("half", Kind.INTEGER), Column("note", Kind.TEXT), Column("year", Kind.INTEGER)),
    models=(),
    score=halve,
)


def write_whole(root: Path, name: str = "counter") -> Path:
    """Write a model of a whole number `n` and a number `x` whose output is n + x + 1."""
    columns = (
        ModelColumn(name="n", unit="1", description="whole", dtype="int32"),
        ModelColumn(name="x", unit="1", description="any"),
    )
    training = Training(data="none", fingerprint="0", seed=1, rows=0, since="2025-01-01", until="2025-01-02")
    manifest = Manifest(
        name=name,
        version="1",
        runtime="sum",
        file="weights.txt",
        files={},
        columns=columns,
        output="n + x + 1",
        training=training,
    )
    golden = Golden(rows=((1.0, 2.0),), outputs=(4.0,))
    contents = {"weights.txt": b"1.0", "golden.json": golden.model_dump_json().encode()}
    return write_version(root, manifest, contents)


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of `adder`, which sums `a` and `b` and adds a half, and `counter`, which sums `n`, `x` and one."""
    monkeypatch.setitem(RUNTIMES, "sum", f"{SumRuntime.__module__}:SumRuntime")
    root = tmp_path / "models"
    write_sum(root, "adder")
    write_whole(root)
    return root


@pytest.fixture
def service(tmp_path: Path, models_dir: Path) -> Iterator[FileService]:
    """A service with two small models, a scorer that halves numbers, and the records of a blood service."""
    settings = Settings(data_dir=tmp_path, models_dir=models_dir, log_level="ERROR", _env_file=None)
    domain = Domain(name="test", tables="backend.domains.blood.tables", job_kinds=(), resources=RESOURCES)
    scoring = Domain(name="scoring", tables="backend.jobs.tables", job_kinds=(), scorers=(HALVES,))
    app = create_app(settings, (PLATFORM, domain, scoring))
    with app.app_context():
        create_tables()
        yield FileService(app)
        db.engine.dispose()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are cut into parts of a few rows."""
    monkeypatch.setattr(predict, "PART_BYTES", 60)
    monkeypatch.setattr(imports, "PART_BYTES", 60)
