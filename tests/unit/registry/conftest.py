from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from backend.extensions import transaction
from backend.registry import lifecycle, versions
from backend.registry.registry import current_registry
from backend.registry.tables import ModelAlias
from tests.unit.registry.registry_stage import Clock, Stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lifecycle, "utc_now", clock)
    return clock


@pytest.fixture
def stage(app: Flask, tmp_path: Path, clock: Clock) -> Stage:
    """A registry with a release of the model `adder`, version 1, that is production."""
    stage = Stage(tmp_path / "models", current_registry(), clock)
    stage.ship()
    stage.adopt()
    return stage


@pytest.fixture
def registered(stage: Stage) -> Stage:
    """A stage where Ravi registered version 2."""
    stage.register()
    return stage


@pytest.fixture
def unchanged(registered: Stage) -> Callable[[], None]:
    """Says that production, the ledger and the claim are as they were."""
    before = (registered.production(), registered.actions(), versions.list_versions("adder"))

    def check() -> None:
        assert (registered.production(), registered.actions(), versions.list_versions("adder")) == before
        assert registered.hints.given == []
        with transaction(read_only=True) as session:
            assert session.get_one(ModelAlias, ("adder", "production")).moving_until is None

    return check
