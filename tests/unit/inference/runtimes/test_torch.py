"""Shown with PyTorch where it is installed; it is optional and not in the lock."""

import contextlib
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from backend.errors import ArtifactError
from backend.inference.manifest import Column, Manifest, Training

torch = pytest.importorskip("torch", reason="torch is optional: pip install -r requirements-torch.txt")

from backend.inference.runtimes.torch import TorchRuntime  # noqa: E402 - it imports torch

ROWS = np.random.default_rng(1).normal(size=(50, 2))


def manifest(*, columns: int = 2, file: str = "model.pt2") -> Manifest:
    return Manifest(
        name="network",
        version="1",
        runtime="torch",
        file=file,
        files={},
        columns=tuple(Column(name=f"c{i}", unit="1", description="column") for i in range(columns)),
        output="number",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )


def export(module: object, *, rows: object = None, dynamic: bool = True) -> bytes:
    rows = torch.zeros(2, 2, dtype=torch.float64) if rows is None else rows
    shapes = ({0: torch.export.Dim.DYNAMIC},) if dynamic else None
    content = BytesIO()
    torch.export.save(torch.export.export(module, (rows,), dynamic_shapes=shapes), content)
    return content.getvalue()


def linear(outputs: int = 1, **options: object) -> object:
    return torch.nn.Linear(2, outputs, **({"dtype": torch.float64} | options))


def load(content: bytes, **changes: object) -> TorchRuntime:
    return TorchRuntime.load(content, manifest(**changes), threads=1)


def test_one_column_of_output_becomes_one_number_per_row() -> None:
    module = linear()
    expected = module(torch.from_numpy(ROWS)).detach().numpy()[:, 0]
    np.testing.assert_array_equal(load(export(module)).predict(ROWS), expected)


def test_an_output_without_columns_is_taken_as_it_is() -> None:
    module = torch.nn.Sequential(linear(), torch.nn.Flatten(0))
    np.testing.assert_array_equal(load(export(module)).predict(ROWS), module(torch.from_numpy(ROWS)).detach().numpy())


def test_a_program_of_float32_gets_rounded_rows_and_gives_float64() -> None:
    module = linear(dtype=torch.float32)
    outputs = load(export(module, rows=torch.zeros(2, 2))).predict(ROWS)
    assert outputs.dtype == np.float64
    np.testing.assert_array_equal(outputs, module(torch.from_numpy(ROWS).float()).detach().numpy()[:, 0])


@pytest.mark.parametrize(
    "content",
    [
        lambda: export(linear(2)),
        lambda: export(linear(), dynamic=False),
        lambda: export(torch.nn.Embedding(5, 1), rows=torch.zeros(2, 2, dtype=torch.int64)),
    ],
    ids=["two outputs", "a fixed number of rows", "whole numbers"],
)
def test_a_program_of_another_shape_is_refused(content: object) -> None:
    with pytest.raises(ArtifactError, match="must take one float tensor"):
        load(content())


def test_a_program_of_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ArtifactError, match="takes 2 columns, the manifest has 3"):
        load(export(linear()), columns=3)


def test_a_program_is_not_read_under_a_name_that_nobody_takes_for_executable() -> None:
    with pytest.raises(ArtifactError, match="executes code when it is read, and must be named so"):
        load(export(linear()), file="model.bin")


def test_reading_a_program_executes_what_its_author_wrote(tmp_path: Path) -> None:
    written = tmp_path / "by the author"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (written,)

    inputs, altered = BytesIO(), BytesIO()
    torch.save((Payload(),), inputs)
    with zipfile.ZipFile(BytesIO(export(linear()))) as program, zipfile.ZipFile(altered, "w") as archive:
        for name in program.namelist():
            archive.writestr(name, inputs.getvalue() if name.endswith("sample_inputs/model.pt") else program.read(name))
    with contextlib.suppress(TypeError):  # what torch logs of it does not fit its own format
        torch.export.load(BytesIO(altered.getvalue()))
    assert written.exists()  # why such files must be signed and allowed
