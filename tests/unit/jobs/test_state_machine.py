"""The job engine in any order of events, on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from backend.settings import Settings
from tests.unit.jobs.engine_machine import EngineMachine
from tests.unit.jobs.engine_stage import Engine, engine_on_stage

STEPS = settings(stateful_step_count=50)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with engine_on_stage(Settings(data_dir=tmp_path, log_level="ERROR", _env_file=None), monkeypatch) as engine:
        yield engine


def test_no_order_of_events_breaks_a_promise(engine: Engine):
    run_state_machine_as_test(lambda: EngineMachine(engine), settings=STEPS)
