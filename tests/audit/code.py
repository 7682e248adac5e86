"""What bandit and semgrep say of the code. Neither needs a network."""

import json
from pathlib import Path

from tests.audit.outcome import TOOLS, Outcome, Verdict, judged, last_line, run

CODE = ("backend", "workers", "migrations", "run.py", "celery_worker.py", "flowerconfig.py")
RULES = Path(__file__).with_name("rules") / "conventions.yml"
SEMGREP = ("scan", "--metrics", "off", "--disable-version-check")


def bandit(tools: Path = TOOLS) -> Outcome:
    """Run bandit; what is skipped, and why, is in pyproject.toml."""
    ended = run(tools / "bandit", "--quiet", "--configfile", "pyproject.toml", "--format", "json", "--recursive", *CODE)
    if not ended.stdout.strip():
        return Outcome("bandit", Verdict.NOT_AUDITED, last_line(ended.stderr))
    report = json.loads(ended.stdout)
    findings = [f"{error['filename']}: not read, {error['reason']}" for error in report["errors"]] + [
        f"{found['filename']}:{found['line_number']} {found['test_id']} {found['issue_text']}"
        for found in report["results"]
    ]
    return _looked("bandit", report["metrics"]["_totals"]["loc"], "lines", findings)


def semgrep(tools: Path = TOOLS) -> Outcome:
    """Run semgrep with the project's own rules."""
    # Without git: what is not yet committed is looked at, and so is a copy that is no checkout.
    ended = run(
        tools / "semgrep", *SEMGREP, "--no-git-ignore", "--disable-nosem", "--json", "--quiet", "--config", RULES, *CODE
    )
    if not ended.stdout.strip():
        return Outcome("semgrep", Verdict.NOT_AUDITED, last_line(ended.stderr))
    report = json.loads(ended.stdout)
    findings = [f"{error.get('path', RULES.name)}: {error['message']}" for error in report["errors"]] + [
        f"{found['path']}:{found['start']['line']} {found['check_id'].rpartition('.')[2]}: {found['extra']['message']}"
        for found in report["results"]
    ]
    return _looked("semgrep", len(report["paths"]["scanned"]), "files", findings)


def _looked(step: str, count: int, of_what: str, findings: list[str]) -> Outcome:
    if not count and not findings:
        return Outcome(step, Verdict.NOT_AUDITED, f"it looked at no {of_what}")
    return judged(step, f"{count:,} {of_what}", findings)
