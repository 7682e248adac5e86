"""The job engine in any order of events, on PostgreSQL; the machine and its model are those of the unit tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from backend.settings import Settings
from tests.unit.jobs.engine_machine import EngineMachine
from tests.unit.jobs.engine_stage import Engine, engine_on_stage

STEPS = settings(max_examples=40, stateful_step_count=50)


@pytest.fixture
def engine(tmp_path: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    on_postgresql = Settings(data_dir=tmp_path, database_url=postgresql, log_level="ERROR", _env_file=None)
    with engine_on_stage(on_postgresql, monkeypatch) as engine:
        yield engine


def test_no_order_of_events_breaks_a_promise_on_postgresql(engine: Engine):
    run_state_machine_as_test(lambda: EngineMachine(engine), settings=STEPS)
