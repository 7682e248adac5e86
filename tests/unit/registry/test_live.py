"""What is to be served, as the database says."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import text, update

from backend.clock import utc_now
from backend.errors import ArtifactError, NotServed, Unavailable, UnknownModel
from backend.extensions import transaction
from backend.inference.client import ModelClient
from backend.inference.runtimes import RUNTIMES
from backend.inference.source import Served
from backend.registry import lifecycle
from backend.registry.checked import Checked
from backend.registry.intake import register_folder
from backend.registry.live import FORGOTTEN_AFTER, LiveModels
from backend.registry.rollout import get_rollout
from backend.registry.shipped import adopt_shipped
from backend.registry.states import Alias
from backend.registry.tables import ModelProcess
from tests.unit.inference.conftest import SumRuntime, write_sum

ROWS = np.array([[1.0, 2.0]])


class Installation:
    """A registry with a shipped model `adder`, and what is decided about it."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.folder = folder
        self.registry = app.extensions["registry"]
        self.live: LiveModels = app.extensions["live_models"]
        self.client: ModelClient = app.extensions["models"]

    def register(self, version: str, *, offset: float) -> None:
        folder = write_sum(self.folder / version, "adder", version=version, offset=offset)
        register_folder(self.registry, folder, by="Asha", source="test", tags={}, at=utc_now(), threads=1)

    def decide(self, what: Callable[..., int], **more: object) -> None:
        check = {} if what is lifecycle.unload else {"check": lambda _: Checked(memory_bytes=1, load_seconds=0.1)}
        hints = type("Silent", (), {"give": lambda _self, _model: None})()
        what(self.registry, model="adder", by="Bala", reason="a test", hints=hints, **check, **more)

    def promote(self, version: str) -> None:
        self.decide(lifecycle.promote, version=version, alias=Alias.PRODUCTION)

    def score(self) -> float:
        return self.client.predict("adder", ROWS).item()


@pytest.fixture
def installation(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setitem(RUNTIMES, "sum", f"{SumRuntime.__module__}:SumRuntime")
    write_sum(tmp_path / "models", "adder")
    checked = Checked(memory_bytes=1, load_seconds=0.1)
    monkeypatch.setattr("backend.registry.intake.check_folder", lambda *_, **__: checked)
    return Installation(app, tmp_path / "made")


def test_until_something_is_decided_the_shipped_version_is_served(installation: Installation):
    live = installation.live
    assert live.names() == ("adder",)
    assert (live.manifest("adder").version, live.read("adder").generation, live.generations()) == ("1", 0, {})
    assert installation.score() == 3.5


def test_production_is_served_with_its_generation(installation: Installation):
    installation.score()
    installation.register("2", offset=10.0)
    installation.promote("2")
    generation = installation.live.generations()["adder"]
    artifact = installation.live.read("adder")
    assert (artifact.manifest.version, artifact.generation) == ("2", generation)
    assert installation.client.look()
    assert installation.score() == 13.0
    installation.decide(lifecycle.rollback)
    assert installation.client.look()
    assert installation.score() == 3.5


def test_what_was_unloaded_is_not_served(installation: Installation):
    installation.score()
    installation.decide(lifecycle.unload)
    installation.client.look()
    with pytest.raises(NotServed, match="was unloaded"):
        installation.score()
    with pytest.raises(NotServed):
        installation.live.manifest("adder")


def test_a_model_of_which_nothing_was_promoted_is_not_served(installation: Installation):
    folder = write_sum(installation.folder, "newcomer")
    register_folder(installation.registry, folder, by="Asha", source="test", tags={}, at=utc_now(), threads=1)
    assert installation.live.names() == ("adder", "newcomer")
    installation.live.require("newcomer")
    with pytest.raises(NotServed, match="no version of the model newcomer was promoted"):
        installation.live.read("newcomer")


def test_a_model_that_nobody_knows_is_told_from_those_there_are(installation: Installation):
    for ask in (installation.live.require, installation.live.manifest, installation.live.read):
        with pytest.raises(UnknownModel, match="there are adder"):
            ask("nothing")


def test_any_version_that_is_kept_is_had_by_its_identity(installation: Installation):
    shipped = installation.live.manifest("adder").identity
    installation.register("2", offset=10.0)
    installation.promote("2")
    assert installation.live.read_exactly("adder", shipped).manifest.version == "1"
    with pytest.raises(ArtifactError, match="not there any more"):
        installation.live.read_exactly("adder", "0" * 64)


def test_a_new_release_takes_the_place_of_the_old_one_on_running_processes(installation: Installation, tmp_path: Path):
    adopt_shipped(installation.registry, at=utc_now())
    assert installation.score() == 3.5
    write_sum(tmp_path / "models", "adder", version="2", offset=20.0)
    adopt_shipped(installation.registry, at=utc_now())
    assert installation.client.look()
    assert installation.score() == 23.0


def test_without_tables_nobody_can_say_what_is_live(app: Flask, installation: Installation):
    with transaction() as session:
        for table in ("model_alias", "model_process", "model_version"):
            session.execute(text(f"DROP TABLE {table}"))
    for ask in (installation.live.generations, installation.live.names, lambda: installation.live.read("adder")):
        with pytest.raises(Unavailable):
            ask()
    with pytest.raises(Unavailable):
        installation.live.report([Served("adder", 0, "1", None, None)])


def test_processes_that_are_gone_for_long_are_forgotten(app: Flask, installation: Installation):
    installation.live.process = "a/1"
    installation.live.report([Served("adder", 0, "1", None, None)])
    with transaction() as session:
        session.execute(update(ModelProcess).values(seen_at=utc_now() - FORGOTTEN_AFTER - timedelta(seconds=1)))
    installation.live.process = "b/2"
    installation.live.report([Served("adder", 0, "1", None, "x" * 3_000)])
    (left,) = get_rollout(installation.registry, "adder").processes
    assert (left.process, len(left.error or "")) == ("b/2", 2_000)
