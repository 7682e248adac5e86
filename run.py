"""The whole of Sanguine on one machine: embedded Valkey, API, two workers, beat and Flower.

Migrates the database, fills an empty one with simulated donors, starts everything under supervision, runs one sample
job through the queue, and stays up until Ctrl-C.
"""

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

from backend.errors import SanguineError, SettingsError
from backend.ops.options import read_options
from backend.ops.stack import run_once, run_until_stopped

SETTINGS_STATUS, FAILED_STATUS, INTERRUPTED_STATUS = 2, 1, 130


def parse_arguments() -> argparse.Namespace:
    """Read the command line; an option that was not given is not in the result, so that the environment counts."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Every option but --once can be set by environment: SANGUINE_PORT, SANGUINE_DATA_DIR and so on.\n"
        "Exit status: 0 stopped as asked, 1 failed, 2 a setting cannot be used, 130 interrupted before it was ready.",
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--once", action="store_true", help="use free ports and a temporary folder, and exit after the sample job"
    )
    parser.add_argument("--host", help="address the API listens on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port of the API (8000)")
    parser.add_argument("--flower-port", type=int, help="port of Flower, on 127.0.0.1 (5555)")
    parser.add_argument("--data-dir", type=Path, help="folder of database, broker data and logs (var/)")
    parser.add_argument("--donors", type=int, metavar="N", help="simulated donors in a new database (2000)")
    return parser.parse_args()


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    options = vars(parse_arguments())
    once = options.pop("once", False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # each stops everything, then leaves
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores it
            signal.signal(number, signal.default_int_handler)
    console = Console()
    try:
        settings = read_options(**options)
        if once:
            run_once(donors=settings.donors, console=console)
        else:
            run_until_stopped(settings, console=console)
    except SanguineError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return SETTINGS_STATUS if isinstance(error, SettingsError) else FAILED_STATUS
    except KeyboardInterrupt:
        print("run.py: interrupted before it was ready", file=sys.stderr)
        return INTERRUPTED_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
