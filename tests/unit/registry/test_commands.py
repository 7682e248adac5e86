"""`flask models …` as an operator sees it."""

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import update

from backend.extensions import transaction
from backend.registry import service
from backend.registry.commands import models
from backend.registry.tables import LedgerEntry
from tests.unit.registry.registry_stage import Stage

DECISION = ("--by", "Asha", "--reason", "better")


@pytest.fixture
def run(app: Flask, stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """Runs a command on a stage whose checks start no process."""
    monkeypatch.setattr(service, "check_version", lambda _registry, version, **_: stage.check(version))
    monkeypatch.setitem(app.extensions, "hints", stage.hints)

    def invoke(*arguments: str) -> Result:
        return app.test_cli_runner().invoke(models, arguments)

    return invoke


def test_versions_are_listed(run, stage: Stage):
    stage.register()
    lines = [line.split() for line in run("list").output.splitlines()]
    assert [line[:3] for line in lines] == [["adder", "2", "registered"], ["adder", "1", "production"]]
    assert lines[0][-2:] == ["by", "Ravi"]
    assert run("list", "unknown").output == ""


def test_a_whole_ledger_is_verified_with_its_head(run, stage: Stage):
    ended = run("verify")
    assert ended.exit_code == 0
    assert ended.output == f"2 entries are as they were written; the last has the hash {stage.verified().head}\n"


def test_a_broken_ledger_ends_with_1_and_names_the_entry(run):
    with transaction() as session:
        session.execute(update(LedgerEntry).where(LedgerEntry.seq == 2).values(by="nobody"))
    ended = run("verify")
    assert ended.exit_code == 1
    assert "entry 2 of the ledger: it was changed" in ended.output


def test_a_version_is_promoted_rolled_back_and_archived(run, stage: Stage):
    stage.register()
    assert (
        "version 2 of model adder is production, generation 2; processes: 0 of 0"
        in run("promote", "adder", "2", *DECISION).output
    )
    assert "version 1 of model adder is production, generation 3" in run("rollback", "adder", *DECISION).output
    assert run("archive", "adder", "2", *DECISION).output == "version 2 of model adder is archived\n"
    assert stage.actions()[-3:] == [("promoted", "2"), ("rolled_back", "1"), ("archived", "2")]


def test_what_is_refused_ends_with_1_and_says_why(run, stage: Stage):
    stage.register(by="Asha")
    ended = run("promote", "adder", "2", *DECISION)
    assert ended.exit_code == 1
    assert "somebody else must promote it" in ended.output
    assert run("promote", "adder", "2").exit_code == 2, "who and why must be said"


def test_what_was_live_at_a_moment_is_said(run, stage: Stage):
    stage.unload()
    moment = stage.clock.moment.isoformat()
    assert run("live-at", "adder", moment).output.startswith("no version, unloaded by Asha at 2026-03-01T10:0")
    assert run("live-at", "adder", "2026-03-01T10:00:01Z").output.startswith("version 1 (")
    assert run("live-at", "adder", "2026-01-01T00:00:00Z").output == "nothing had been decided about adder\n"


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T10:00:00", "1772359200"])
def test_a_moment_must_be_written_out_with_its_zone(run, time: str):
    ended = run("live-at", "adder", time)
    assert ended.exit_code == 2
    assert "TIME" in ended.output
