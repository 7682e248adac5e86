"""What came of one step of the audit, and the tools that steps run."""

import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TOOLS = PROJECT / ".venv" / "audit" / "bin"
PYTHON = Path(sys.executable)
SECONDS = 600  # for one tool; advisories are asked for package by package


class Verdict(StrEnum):
    """Whether a step found something to change, or could not look."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_AUDITED = "NOT AUDITED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step: its name, its verdict, what it looked at in a few words, and a line for each finding."""

    step: str
    verdict: Verdict
    said: str
    findings: tuple[str, ...] = ()


def judged(step: str, looked_at: str, findings: list[str]) -> Outcome:
    """Return the outcome of a step that looked: failed if it found anything."""
    verdict = Verdict.FAILED if findings else Verdict.OK
    count = "1 finding" if len(findings) == 1 else f"{len(findings) or 'no'} findings"
    return Outcome(step, verdict, f"{looked_at}: {count}", tuple(findings))


def run(tool: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a tool in the project's folder and return what it wrote.

    Raises:
        FileNotFoundError: it is not installed.
        subprocess.TimeoutExpired: it does not end.
    """
    return subprocess.run([tool, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=SECONDS)


def last_line(text: str) -> str:
    """Return the last line in which something is written."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it wrote nothing")
