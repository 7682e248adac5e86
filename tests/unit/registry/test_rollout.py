"""How far the processes are."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert, update

from backend.clock import utc_now
from backend.errors import UnknownModel
from backend.extensions import transaction
from backend.inference.source import Served
from backend.registry import rollout
from backend.registry.rollout import SEEN_FOR, await_rollout, get_rollout
from backend.registry.tables import ModelAlias, ModelProcess
from tests.unit.inference.conftest import write_sum


@pytest.fixture
def registry(app: Flask, tmp_path: Path):
    write_sum(tmp_path / "models", "adder")
    return app.extensions["registry"]


def says(app: Flask, process: str, *, generation: int = 0, version: str | None = "1", error: str | None = None) -> None:
    live = app.extensions["live_models"]
    live.process = process
    live.report([Served("adder", generation, version, "0" * 64, error)])


def decide(*, generation: int) -> None:
    with transaction() as session:
        values = {"model": "adder", "alias": "production", "generation": generation, "moved_at": utc_now()}
        session.execute(insert(ModelAlias).values(version_id=None, **values))


def test_as_shipped_every_process_that_loaded_it_has_converged(app, registry):
    says(app, "a/1")
    says(app, "b/2")
    found = get_rollout(registry, "adder")
    assert (found.generation, found.version, found.summary) == (0, "1", "2 of 2 converged")
    assert [one.process for one in found.processes] == ["a/1", "b/2"]


def test_a_process_that_serves_what_was_before_says_why(app, registry):
    decide(generation=3)
    says(app, "a/1", generation=3, version=None)
    says(app, "b/2", generation=2, version="1", error="altered")
    found = get_rollout(registry, "adder")
    assert (found.version, found.summary) == (None, "1 of 2 converged")
    assert [(one.converged, one.error) for one in found.processes] == [(True, None), (False, "altered")]


def test_what_a_process_says_replaces_what_it_said(app, registry):
    says(app, "a/1", error="altered")
    says(app, "a/1")
    (only,) = get_rollout(registry, "adder").processes
    assert (only.converged, only.error) == (True, None)


def test_a_process_that_is_gone_does_not_count(app, registry):
    says(app, "a/1")
    says(app, "b/2")
    with transaction() as session:
        gone = update(ModelProcess).where(ModelProcess.process == "a/1")
        session.execute(gone.values(seen_at=utc_now() - SEEN_FOR - timedelta(seconds=1)))
    assert get_rollout(registry, "adder").summary == "1 of 1 converged"


def test_nobody_waits_for_a_process_that_says_it_cannot(app, registry, monkeypatch):
    decide(generation=1)
    monkeypatch.setattr(rollout, "utc_now", lambda: utc_now() - timedelta(seconds=1))
    says(app, "a/1", generation=0, error="altered")
    assert await_rollout(registry, "adder", seconds=60).summary == "0 of 1 converged"


def test_an_error_of_before_says_nothing_about_what_was_decided_now(app, registry):
    decide(generation=1)
    says(app, "a/1", generation=0, error="altered")
    threading.Timer(0.1, lambda: says_again(app)).start()
    assert await_rollout(registry, "adder", seconds=10).summary == "1 of 1 converged"


def says_again(app: Flask) -> None:
    with app.app_context():
        says(app, "a/1", generation=1, version=None)


def test_waiting_ends_when_the_time_is_over(app, registry):
    decide(generation=1)
    says(app, "a/1", generation=0)
    assert await_rollout(registry, "adder", seconds=0.1).converged == 0


def test_a_model_that_nobody_knows_is_refused(app, registry):
    with pytest.raises(UnknownModel, match="adder"):
        get_rollout(registry, "nothing")
