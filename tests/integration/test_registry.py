"""Decisions about models on a real PostgreSQL: several at once, and a ledger that cannot be changed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
from flask import Flask
from flask_migrate import upgrade
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.app import create_app
from backend.errors import Conflict
from backend.extensions import db, transaction
from backend.registry import ledger, versions
from backend.registry.registry import current_registry
from backend.registry.shipped import adopt_shipped
from backend.registry.states import Action
from backend.settings import PROJECT, Settings
from tests.unit.registry.registry_machine import RegistryMachine, stages
from tests.unit.registry.registry_stage import START, Stage, new_version

MIGRATIONS = str(PROJECT / "migrations")
AT_ONCE = 8
STEPS = settings(max_examples=10, stateful_step_count=30)


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """An application whose tables were migrated, so that the ledger has its triggers."""
    options = {"database_url": database_url, "data_dir": tmp_path, "models_dir": tmp_path / "models"}
    app = create_app(Settings(log_level="ERROR", _env_file=None, **options), ())
    with app.app_context():
        upgrade(MIGRATIONS)
        yield app
        db.engine.dispose()


@pytest.fixture
def stage(app: Flask, tmp_path: Path) -> Stage:
    stage = Stage(tmp_path / "models", current_registry())
    stage.ship()
    stage.adopt()
    return stage


def drop_triggers() -> None:
    names = ["no_change"] if db.engine.dialect.name == "postgresql" else ["no_update", "no_delete"]
    on = " ON model_ledger" if db.engine.dialect.name == "postgresql" else ""
    with transaction() as session:
        for name in names:
            session.execute(text(f"DROP TRIGGER model_ledger_{name}{on}"))


def at_once(app: Flask, act: Callable[[int], object], times: int = AT_ONCE) -> list[object]:
    """Do something on several threads that begin together; return what came of each, errors too."""
    barrier = Barrier(times)

    def one(number: int) -> object:
        with app.app_context():
            barrier.wait(10)
            try:
                return act(number)
            except Conflict as error:
                return error

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


@pytest.mark.parametrize(
    "statement", ["UPDATE model_ledger SET reason = 'another'", "DELETE FROM model_ledger WHERE seq = 2"]
)
def test_the_database_refuses_to_change_the_ledger(stage: Stage, statement: str):
    with pytest.raises(DBAPIError, match="entries of model_ledger are never changed"), transaction() as session:
        session.execute(text(statement))
    assert stage.verified().entries == 2


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE model_ledger SET reason = 'another' WHERE seq = 2", 2),
        ("DELETE FROM model_ledger WHERE seq = 1", 1),
        ("UPDATE model_ledger SET seq = 9 WHERE seq = 3", 3),
        ("DELETE FROM model_ledger WHERE seq > 3", 4),
    ],
)
def test_who_takes_the_triggers_away_is_found_out(stage: Stage, statement: str, seq: int):
    stage.register()
    stage.promote()
    assert stage.verified().first_fault is None
    drop_triggers()
    with transaction() as session:
        session.execute(text(statement))
    assert stage.verified().first_fault.seq == seq


def test_entries_that_are_written_at_once_are_one_chain(app: Flask, stage: Stage):
    def write(number: int) -> None:
        for _ in range(10):
            with transaction() as session:
                action, by = Action.TAGGED, f"person {number}"
                ledger.append(session, at=START, action=action, model="adder", by=by, reason="at once")

    assert at_once(app, write) == [None] * AT_ONCE
    assert stage.verified().entries == 2 + 10 * AT_ONCE
    assert stage.verified().first_fault is None


def test_the_ledger_verifies_while_decisions_are_made(app: Flask, stage: Stage):
    done = Event()

    def decide(number: int) -> None:
        if number == 0:
            for _ in range(20):
                stage.reload()
            done.set()
        while not done.is_set():
            assert stage.verified().first_fault is None

    assert at_once(app, decide, times=3) == [None] * 3
    assert stage.production() == ("1", 21)


def test_of_versions_that_are_registered_at_once_under_one_name_one_is_entered(app: Flask, stage: Stage):
    def register(number: int) -> object:
        return versions.register(new_version(manifest_sha256=f"{number:064}"), at=START)

    outcomes = at_once(app, register)
    assert sum(isinstance(one, Conflict) for one in outcomes) == AT_ONCE - 1
    assert stage.verified().entries == 3


def test_workers_that_start_at_once_adopt_a_release_once(app: Flask, stage: Stage):
    stage.ship("other")
    stage.ship(version="2")
    at_once(app, lambda _: adopt_shipped(stage.registry, at=START))
    assert (stage.production(), stage.production("other")) == (("2", 2), ("1", 1))
    assert stage.verified().entries == 6


def test_of_promotions_at_once_one_goes_on_and_the_others_are_told(app: Flask, stage: Stage):
    for number in range(AT_ONCE):
        stage.register(f"v{number}")
    told = Event()

    def promote(number: int) -> object:
        try:
            return stage.promote(f"v{number}")
        except Conflict:
            told.set()
            raise

    stage.meanwhile = lambda: told.wait(10)
    outcomes = at_once(app, promote)
    assert told.is_set()
    assert all(isinstance(one, int) or "is being changed already" in str(one) for one in outcomes)
    done = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert sorted(done) == list(range(2, 2 + len(done))), "each that went on has a generation of its own"
    assert stage.production()[1] == 1 + len(done)
    assert stage.verified().first_fault is None


def test_no_order_of_decisions_leads_astray_on_postgresql(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    on_postgresql = Settings(database_url=postgresql, data_dir=tmp_path, log_level="ERROR", _env_file=None)
    app = create_app(on_postgresql, ())
    with app.app_context():
        upgrade(MIGRATIONS)
        drop_triggers()  # the machine alters the ledger
        make_stage = stages(tmp_path, monkeypatch)
        run_state_machine_as_test(lambda: RegistryMachine(make_stage), settings=STEPS)
        db.engine.dispose()
