from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.batches.file_service import FileService
from tests.unit.domains.blood.conftest import application


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FileService]:
    """The whole application on an empty database."""
    with application(tmp_path) as app:
        yield FileService(app)
