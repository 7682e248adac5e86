"""Whether the packages are those of the lock, fit each other, and have no known advisory."""

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.audit.licences import LOCKS
from tests.audit.lock import not_as_pinned, read_pins
from tests.audit.outcome import PROJECT, PYTHON, TOOLS, Outcome, Verdict, judged, last_line, run

SERVICES = ("pypi", "osv")
CANARY = "urllib3==1.26.4"
"""It has had advisories since 2021; who knows none of it knows nothing."""


def installed() -> Outcome:
    """Compare what is installed with the lock, and ask pip whether it fits."""
    findings = [line for file in LOCKS for line in not_as_pinned(PROJECT / file)]
    fits = run(PYTHON, "-m", "pip", "check")
    if fits.returncode:
        findings += fits.stdout.splitlines() or [last_line(fits.stderr)]
    return judged("installed", ", ".join(LOCKS), findings)


def advisories(tools: Path = TOOLS) -> Outcome:
    """Ask PyPI, or else OSV, for the advisories of all that is pinned for this machine."""
    pins = sorted({f"{pin.name}=={pin.version}" for file in LOCKS for pin in read_pins(PROJECT / file) if pin.applies})
    silent = []
    for service in SERVICES:
        answers, why = _ask(tools, service, [CANARY])
        if any(answer.get("vulns") for answer in answers):
            break
        silent.append(f"{service}: {why or f'it knows no advisory of {CANARY}'}")
    else:
        return Outcome("advisories", Verdict.NOT_AUDITED, "no advisory database answers", tuple(silent))
    answers, why = _ask(tools, service, pins)
    known = {answer["name"] for answer in answers if "vulns" in answer}
    if why or len(known) != len(pins):
        reason = why or f"{len(pins) - len(known)} of {len(pins)} packages were not looked up"
        return Outcome("advisories", Verdict.NOT_AUDITED, f"{service}: {reason}")
    findings = [
        f"{answer['name']} {answer['version']}: {flaw['id']}, mended in {' or '.join(flaw['fix_versions']) or 'none'}"
        for answer in answers
        for flaw in answer["vulns"]
    ]
    return judged("advisories", f"{len(pins)} packages asked of {service}", findings)


def _ask(tools: Path, service: str, pins: list[str]) -> tuple[list[dict[str, Any]], str]:
    """Return the answer for each package, or none and why."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins) + "\n")
        file.flush()
        # The hashes are compared where packages are installed; here names and versions are enough.
        ended = run(
            tools / "pip-audit", "--strict", "--disable-pip", "--no-deps", "--progress-spinner", "off",
            "--vulnerability-service", service, "--format", "json", "--requirement", file.name,
        )  # fmt: skip
    if not ended.stdout.strip():
        return [], last_line(ended.stderr)
    answers: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    return answers, ""
