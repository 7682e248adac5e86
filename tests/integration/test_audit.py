"""The tools of `make audit` themselves, from .venv/audit; no network."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.audit import sbom
from tests.audit.code import CODE, RULES, SEMGREP, bandit
from tests.audit.licences import LOCKS
from tests.audit.outcome import PROJECT, TOOLS, Verdict, run

pytestmark = pytest.mark.integration

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "") or 0)
"""


def test_every_rule_finds_its_examples_and_leaves_the_others_alone() -> None:
    ended = run(TOOLS / "semgrep", *SEMGREP, "--test", RULES.parent)
    assert ended.returncode == 0, ended.stdout
    assert "All tests passed" in ended.stdout + ended.stderr


def test_every_rule_has_an_example_of_both_kinds() -> None:
    examples = RULES.with_suffix(".py").read_text()
    rules = {rule["id"] for rule in yaml.safe_load(RULES.read_text())["rules"]}
    assert set(re.findall(r"# ruleid: (\S+)", examples)) == rules
    assert set(re.findall(r"# ok: (\S+)", examples)) == rules


def test_what_a_rule_excludes_is_still_there() -> None:
    rules = yaml.safe_load(RULES.read_text())["rules"]
    excluded = [path for rule in rules for path in rule.get("paths", {}).get("exclude", [])]
    assert excluded
    assert all((PROJECT / path.lstrip("/")).is_file() for path in excluded)
    assert all((PROJECT / path).exists() for path in (*CODE, *LOCKS))


def test_bandit_reads_the_code_and_finds_nothing_that_is_not_excused() -> None:
    outcome = bandit()
    assert outcome.verdict is Verdict.OK, outcome.findings


def test_the_bill_of_materials_is_valid_and_the_same_twice(tmp_path: Path) -> None:
    files = [tmp_path / "once.json", tmp_path / "sub" / "twice.json"]
    for file in files:
        assert sbom.main([str(file)]) == 0
    once, twice = (file.read_text() for file in files)
    assert once == twice
    ended = subprocess.run([TOOLS / "python", "-c", VALIDATE], input=once, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "serialNumber" not in once
    assert "timestamp" not in once
