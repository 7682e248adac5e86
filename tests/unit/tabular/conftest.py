"""What tests of reading share: files, and all blocks of one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from backend.tabular.blocks import Block, Numbers, Records
from backend.tabular.formats import Format
from backend.tabular.layout import lay_out
from backend.tabular.reading import read_part


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of one property share."""
    return tmp_path_factory.mktemp("tabular")


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Store bytes or text as a file."""

    def _store(content: bytes | str, format_: Format = Format.CSV) -> Path:
        path = tmp_path / f"rows{format_.suffix}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _store


def _blocks(path: Path, format_: Format, columns: Sequence[str], *, part_bytes: int = 8 << 20) -> Iterator[Block]:
    layout = lay_out(path, format_, progress=lambda _: None, part_bytes=part_bytes)
    for part in layout.parts:
        row = part.first_row
        for block in read_part(path, layout, part, columns=columns):
            assert block.first_row == row
            row += block.size
            yield block
        assert row == part.first_row + part.rows


def _numbers(path: Path, format_: Format, columns: Sequence[str], *, part_bytes: int = 8 << 20) -> Numbers:
    found = [block.numbers(columns) for block in _blocks(path, format_, columns, part_bytes=part_bytes)]
    return Numbers(
        np.concatenate([some.rows for some in found]),
        np.concatenate([some.values for some in found]),
        tuple(error for some in found for error in some.errors),
    )


def _records(path: Path, format_: Format, columns: Sequence[str], *, part_bytes: int = 8 << 20) -> Records:
    found = [block.records(columns) for block in _blocks(path, format_, columns, part_bytes=part_bytes)]
    return Records(
        tuple(row for some in found for row in some.rows), tuple(error for some in found for error in some.errors)
    )


@pytest.fixture(scope="session")
def blocks() -> Callable[..., Iterator[Block]]:
    """Lay a file out and read all of its parts."""
    return _blocks


@pytest.fixture(scope="session")
def numbers() -> Callable[..., Numbers]:
    """Read all of a file as one matrix."""
    return _numbers


@pytest.fixture(scope="session")
def records() -> Callable[..., Records]:
    """Read all of a file as records."""
    return _records
