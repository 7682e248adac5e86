from collections.abc import Callable
from pathlib import Path

import pytest

from backend.tabular.formats import Format


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
