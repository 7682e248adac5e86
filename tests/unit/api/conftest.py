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


@pytest.fixture
def small_uploads(service: FileService) -> None:
    """An upload may have 2,000 bytes, any other body 1,000."""
    settings = service.app.extensions["settings"]
    service.app.extensions["settings"] = settings.model_copy(
        update={"max_upload_bytes": 2_000, "max_body_bytes": 1_000}
    )
    service.app.config["MAX_CONTENT_LENGTH"] = 1_000
