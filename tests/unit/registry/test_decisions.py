"""Decisions in any order, on SQLite."""

from pathlib import Path

import pytest
from flask import Flask
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.registry.registry_machine import RegistryMachine, stages

STEPS = settings(max_examples=min(settings().max_examples, 30), stateful_step_count=30)


def test_no_order_of_decisions_leads_astray(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_stage = stages(tmp_path, monkeypatch)
    run_state_machine_as_test(lambda: RegistryMachine(make_stage), settings=STEPS)
