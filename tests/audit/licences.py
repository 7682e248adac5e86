"""Under which licences packages may be used: `tool.sanguine.audit` in pyproject.toml."""

import json
import re
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.audit.lock import read_pins
from tests.audit.outcome import PROJECT, PYTHON, TOOLS, Outcome, Verdict, judged, last_line, run

UNKNOWN = "UNKNOWN"  # pip-licenses' word
MET = "\0"  # no text of a licence
INNERMOST = re.compile(r"\(([^()]*)\)")
LOCKS = ("requirements-dev.txt", "requirements-torch.txt")
"""Production, its extras, and what tests and training take."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The licences that are allowed, and those of packages that do not say theirs."""

    allowed: AbstractSet[str]
    read: Mapping[str, str]

    def refuses(self, package: Mapping[str, str]) -> str | None:
        """Return the licence of a package, as pip-licenses tells of it, if it is not allowed."""
        stated = self.read.get(canonicalize_name(package["Name"])) or _stated(package)
        return None if allows(stated, self.allowed) else " ".join(stated.split())[:100]


def policy() -> Policy:
    """Return the project's."""
    said = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["sanguine"]["audit"]
    return Policy(frozenset(said["licences"]), said["licence-of"])


def allows(stated: str, allowed: AbstractSet[str]) -> bool:
    """Return whether an SPDX expression can be met by allowed licences; of classifiers (`;`) each must be allowed."""
    return all(_meets(part.strip(), allowed) for part in stated.split(";"))


def _meets(expression: str, allowed: AbstractSet[str]) -> bool:
    if expression in allowed:
        return True
    while group := INNERMOST.search(expression):
        word = MET if _meets(group[1], allowed) else UNKNOWN
        expression = expression[: group.start()] + word + expression[group.end() :]
    alternatives = (alternative.split(" AND ") for alternative in expression.split(" OR "))
    return any(all(licence.strip() in {*allowed, MET} for licence in needed) for needed in alternatives)


def licences(tools: Path = TOOLS) -> Outcome:
    """Check the licence of each package that is pinned for this machine."""
    ended = run(tools / "pip-licenses", "--python", PYTHON, "--from", "all", "--format", "json", "--with-system")
    if ended.returncode:
        return Outcome("licences", Verdict.NOT_AUDITED, last_line(ended.stderr))
    pinned = {pin.name for file in LOCKS for pin in read_pins(PROJECT / file) if pin.applies}
    ours = [package for package in json.loads(ended.stdout) if canonicalize_name(package["Name"]) in pinned]
    if not ours:
        return Outcome("licences", Verdict.NOT_AUDITED, f"none of the pinned packages is installed beside {PYTHON}")
    rules = policy()
    findings = [
        f"{package['Name']} {package['Version']}: {licence}"
        for package in ours
        if (licence := rules.refuses(package)) is not None
    ]
    return judged("licences", f"{len(ours)} packages", findings)


def _stated(package: Mapping[str, str]) -> str:
    sources = ("License-Expression", "License-Classifier", "License-Metadata")
    return next((package[source] for source in sources if package[source] != UNKNOWN), UNKNOWN)
