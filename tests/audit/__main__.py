"""`python -m tests.audit`: check code and packages, and say of each step whether it looked and what it found.

It ends with 1 if anything was found, and also if a step could not look. With AUDIT_OFFLINE=1 advisories that cannot be
had do not count, and the last line says that they were not looked at.
"""

import os
import sys
from collections.abc import Iterable

from tests.audit.code import bandit, semgrep
from tests.audit.licences import licences
from tests.audit.outcome import TOOLS, Outcome, Verdict
from tests.audit.packages import advisories, installed

STEPS = (bandit, semgrep, installed, licences, advisories)
REMEDY = (
    "NOT AUDITED: packages were not compared with known advisories, because no database answers. Run `make audit` "
    "where pypi.org or api.osv.dev can be reached; AUDIT_OFFLINE=1 accepts this, and nobody has looked."
)


def main() -> int:
    """Run each step, print its line and its findings, then a table of all."""
    if not TOOLS.is_dir():
        sys.stderr.write(f"the tools are not installed in {TOOLS.parent}; run `make audit`\n")
        return 2
    outcomes = []
    for step in STEPS:
        outcome = step()
        outcomes.append(outcome)
        sys.stdout.write(f"{line(outcome)}\n" + "".join(f"    {finding}\n" for finding in outcome.findings))
        sys.stdout.flush()
    sys.stdout.write("\n" + table(outcomes))
    if any(outcome.step == "advisories" and outcome.verdict is Verdict.NOT_AUDITED for outcome in outcomes):
        sys.stdout.write(f"\n{REMEDY}\n")
    return 1 if fails(outcomes, offline=os.environ.get("AUDIT_OFFLINE") == "1") else 0


def fails(outcomes: Iterable[Outcome], *, offline: bool) -> bool:
    """Return whether anything was found or not looked at; `offline` excuses advisories that were not looked at."""
    return any(
        outcome.verdict is not Verdict.OK
        and not (offline and outcome.step == "advisories" and outcome.verdict is Verdict.NOT_AUDITED)
        for outcome in outcomes
    )


def line(outcome: Outcome) -> str:
    """Return a step in one line."""
    return f"{outcome.step}: {outcome.verdict}, {outcome.said}"


def table(outcomes: Iterable[Outcome]) -> str:
    """Return all steps as a table."""
    return "".join(f"{outcome.step:<12} {outcome.verdict:<12} {outcome.said}\n" for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
