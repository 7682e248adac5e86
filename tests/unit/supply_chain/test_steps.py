import json
import sys
from pathlib import Path

import pytest

from tests.audit import __main__ as audit
from tests.audit.code import bandit, semgrep
from tests.audit.licences import licences
from tests.audit.outcome import Outcome, Verdict
from tests.audit.packages import CANARY, advisories

FLAW = {"id": "PYSEC-0", "fix_versions": ["9.9"]}


def tool(folder: Path, name: str, *, says: str = "", complains: str = "", code: int = 0) -> Path:
    """A tool that writes what it is told to, in the place of the real one."""
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"sys.stdout.write({says!r}); sys.stderr.write({complains!r}); sys.exit({code})\n"
    )
    path.chmod(0o755)
    return folder


def database(
    folder: Path, *, knows: dict[str, list[dict]], skips: tuple[str, ...] = (), silent: tuple[str, ...] = ()
) -> Path:
    """A pip-audit whose services know these advisories of a package, skip some packages, or do not answer at all."""
    path = folder / "pip-audit"
    path.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "arguments = dict(zip(sys.argv, sys.argv[1:]))\n"
        "assert '--strict' in sys.argv\n"
        f"if arguments['--vulnerability-service'] in {silent!r}:\n"
        "    sys.exit('ERROR: the name is not resolved')\n"
        "answers = []\n"
        "for line in open(arguments['--requirement']):\n"
        "    name, version = line.strip().split('==')\n"
        f"    if name in {skips!r}: answers.append(dict(name=name, skip_reason='not there'))\n"
        f"    else: answers.append(dict(name=name, version=version, vulns={knows!r}.get(line.strip(), [])))\n"
        "print(json.dumps(dict(dependencies=answers)))\n"
    )
    path.chmod(0o755)
    return folder


def test_advisories_are_ok_only_when_every_package_was_looked_up_by_a_database_that_knows_some(tmp_path: Path) -> None:
    outcome = advisories(database(tmp_path, knows={CANARY: [FLAW]}))
    assert outcome.verdict is Verdict.OK
    assert "packages asked of pypi: no findings" in outcome.said


def test_an_advisory_fails_and_names_the_package_and_the_version_that_mends_it(tmp_path: Path) -> None:
    pins = (Path(__file__).parents[3] / "requirements.txt").read_text().splitlines()
    flask = next(line.split()[0] for line in pins if line.startswith("flask=="))
    outcome = advisories(database(tmp_path, knows={CANARY: [FLAW], flask: [FLAW]}))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.findings == (f"{flask.replace('==', ' ')}: PYSEC-0, mended in 9.9",)


def test_the_second_database_is_asked_when_the_first_is_silent(tmp_path: Path) -> None:
    outcome = advisories(database(tmp_path, knows={CANARY: [FLAW]}, silent=("pypi",)))
    assert (outcome.verdict, "asked of osv" in outcome.said) == (Verdict.OK, True)


def test_a_database_that_does_not_know_the_canary_has_audited_nothing(tmp_path: Path) -> None:
    outcome = advisories(database(tmp_path, knows={}, silent=("osv",)))
    assert outcome.verdict is Verdict.NOT_AUDITED
    assert outcome.findings == (f"pypi: it knows no advisory of {CANARY}", "osv: ERROR: the name is not resolved")


def test_a_package_that_was_skipped_makes_the_audit_incomplete(tmp_path: Path) -> None:
    outcome = advisories(database(tmp_path, knows={CANARY: [FLAW]}, skips=("flask",)))
    assert outcome.verdict is Verdict.NOT_AUDITED
    assert "1 of " in outcome.said


def test_a_tool_that_writes_nothing_has_audited_nothing(tmp_path: Path) -> None:
    for name, step in (("bandit", bandit), ("semgrep", semgrep), ("pip-licenses", licences)):
        outcome = step(tool(tmp_path, name, complains="it broke\n", code=2))
        assert (outcome.verdict, outcome.said) == (Verdict.NOT_AUDITED, "it broke")


def test_a_tool_that_looked_at_no_code_has_audited_nothing(tmp_path: Path) -> None:
    report = {"errors": [], "results": [], "paths": {"scanned": []}, "metrics": {"_totals": {"loc": 0}}}
    for name, step in (("bandit", bandit), ("semgrep", semgrep)):
        outcome = step(tool(tmp_path, name, says=json.dumps(report)))
        assert outcome.verdict is Verdict.NOT_AUDITED


def test_a_finding_is_told_with_its_place(tmp_path: Path) -> None:
    found = {"filename": "run.py", "line_number": 7, "test_id": "B602", "issue_text": "a shell"}
    report = {"errors": [], "results": [found], "metrics": {"_totals": {"loc": 9}}}
    outcome = bandit(tool(tmp_path, "bandit", says=json.dumps(report), code=1))
    assert (outcome.verdict, outcome.findings) == (Verdict.FAILED, ("run.py:7 B602 a shell",))
    found = {"path": "run.py", "start": {"line": 7}, "check_id": "a.b.shell", "extra": {"message": "A shell."}}
    report = {"errors": [{"message": "not parsed"}], "results": [found], "paths": {"scanned": ["run.py"]}}
    outcome = semgrep(tool(tmp_path, "semgrep", says=json.dumps(report)))
    assert outcome.findings == ("conventions.yml: not parsed", "run.py:7 shell: A shell.")


@pytest.mark.parametrize(
    ("step", "verdict", "offline", "ends_with"),
    [
        ("bandit", Verdict.OK, False, 0),
        ("bandit", Verdict.FAILED, True, 1),
        ("bandit", Verdict.NOT_AUDITED, True, 1),
        ("advisories", Verdict.NOT_AUDITED, False, 1),
        ("advisories", Verdict.NOT_AUDITED, True, 0),
        ("advisories", Verdict.FAILED, True, 1),
    ],
)
def test_only_advisories_that_cannot_be_had_are_excused_and_only_when_the_operator_says_so(
    *, step: str, verdict: Verdict, offline: bool, ends_with: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (lambda: Outcome("licences", Verdict.OK, "2 packages"), lambda: Outcome(step, verdict, "it was so"))
    monkeypatch.setattr(audit, "STEPS", steps)
    monkeypatch.setattr(audit, "TOOLS", tmp_path)
    monkeypatch.setenv("AUDIT_OFFLINE", "1" if offline else "")
    assert audit.main() == ends_with


def test_the_last_line_says_loudly_that_nobody_looked_at_advisories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (lambda: Outcome("advisories", Verdict.NOT_AUDITED, "no advisory database answers", ("pypi: silent",)),)
    monkeypatch.setattr(audit, "STEPS", steps)
    monkeypatch.setattr(audit, "TOOLS", tmp_path)
    monkeypatch.setenv("AUDIT_OFFLINE", "1")
    audit.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "advisories: NOT AUDITED, no advisory database answers"
    assert lines[1] == "    pypi: silent"
    assert lines[-1].startswith("NOT AUDITED: ")


def test_without_the_tools_it_says_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "TOOLS", tmp_path / "bin")
    assert audit.main() == 2
    assert "run `make audit`" in capsys.readouterr().err
