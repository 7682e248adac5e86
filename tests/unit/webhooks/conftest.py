from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from flask import Flask

from backend.app import create_app
from backend.domains.domain import Domain
from backend.extensions import db
from backend.jobs.kinds import JobKind
from backend.settings import Settings
from backend.webhooks.deliver import DELIVER_WEBHOOK
from tests.unit.conftest import SilentDoorbell, create_tables
from tests.unit.webhooks.receiver import Names, Receiver, receiving

SECRET_KEY = "a key of forty characters for these tests"  # noqa: S105


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    found = Names()
    monkeypatch.setattr("socket.getaddrinfo", found.getaddrinfo)
    return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def app(tmp_path: Path, kind: JobKind, names: Names) -> Iterator[Flask]:
    """An installation that may call this machine."""
    settings = Settings(
        data_dir=tmp_path,
        models_dir=tmp_path / "models",
        log_level="ERROR",
        secret_key=SECRET_KEY,
        webhook_networks=(IPv4Network("127.0.0.0/8"),),
        _env_file=None,
    )
    app = create_app(settings, (Domain(name="test", tables="backend.jobs.tables", job_kinds=(kind, DELIVER_WEBHOOK)),))
    app.extensions["doorbell"] = SilentDoorbell()
    with app.app_context():
        create_tables()
        yield app
        db.engine.dispose()
