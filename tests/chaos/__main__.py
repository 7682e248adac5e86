"""`python -m tests.chaos`: load and faults on a whole installation, and whether every promise held."""

import argparse
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.plan import LEASE_SECONDS, RECONCILE_SECONDS, draw_plan
from tests.chaos.run import Options, carry_out, disk_can_fill

BETWEEN = (7.0, 16.0)  # seconds between faults, drawn


def main() -> int:
    """Run, print the report as Markdown, and return 1 when a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=42)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="the same gives the same faults")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: everything is ended
    plan = draw_plan(asked.seed, asked.faults, kinds=disk_can_fill(), after=BETWEEN)
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {text}\n")

    say(f"seed {asked.seed}: {asked.jobs:,} jobs; the faults, each so long after the one before:")
    for number, fault in enumerate(plan, start=1):
        say(f"{number:3}  after {fault.after:4.1f} s for {fault.lasts:3.1f} s: {fault.kind} ({fault.which})")
    folder = Path(tempfile.mkdtemp(prefix="sanguine-chaos-"))  # kept: the logs say what happened
    try:
        report = carry_out(Options(seed=asked.seed, jobs=asked.jobs, plan=plan), folder, say)
    except KeyboardInterrupt:
        say("interrupted; everything is ended")
        return 130
    sys.stdout.write(
        f"`python -m tests.chaos --jobs {asked.jobs} --faults {asked.faults} --seed {asked.seed}`, "
        f"{time.monotonic() - began:.0f} s, leases of {LEASE_SECONDS:g} s, reconciled every {RECONCILE_SECONDS:g} s\n\n"
        f"{report.markdown()}\n"
    )
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
