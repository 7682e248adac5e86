"""The queues that Sanguine is measured beside, each as its own documentation teaches it, and how their workers start.

The module of a peer holds what its worker runs and what its client calls.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Protocol, cast

from benchmarks.golden import Values

PACKAGE = "benchmarks.peers"


class Client(Protocol):
    """What the module of a peer offers to a client."""

    def ask(self, values: Values, /) -> float:
        """Send one row and wait for the result."""

    def send_all(self, rows: Sequence[Values], /) -> Callable[[], list[float]]:
        """Send all rows and return a call that waits for the results, in the order of the rows."""


def client_of(package: str) -> Client:
    """Return the module of a peer; importing it opens nothing."""
    return cast("Client", import_module(f"{PACKAGE}.{package}_worker"))


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: its package, and the command of its worker with what that says when it is ready."""

    title: str
    package: str
    worker: tuple[str, ...]  # after `python -m`
    ready: str  # a regular expression


BARE = "bare Celery"
PEERS = (
    Peer(
        title=BARE,
        package="celery",
        worker=(
            *("celery", "-A", f"{PACKAGE}.celery_worker", "worker", "-n", "bare@bench", "--loglevel", "INFO"),
            *("--pool", "threads", "--concurrency", "4", "--without-mingle", "--without-gossip"),
        ),
        ready=r"\bready\.",
    ),
    Peer(
        title="RQ",
        package="rq",
        worker=(
            *("rq.cli", "worker-pool", "--config", f"{PACKAGE}.rq_worker", "--num-workers", "2"),
            *("--worker-class", "rq.worker.SimpleWorker", "rq"),
        ),
        ready=r"(?s)Listening on rq.*Listening on rq",  # each of the two
    ),
    Peer(
        title="Dramatiq",
        package="dramatiq",
        worker=("dramatiq", f"{PACKAGE}.dramatiq_worker", "--processes", "1", "--threads", "4"),
        ready=r"Worker process is ready for action",
    ),
    Peer(
        title="Huey",
        package="huey",
        worker=("huey.bin.huey_consumer", f"{PACKAGE}.huey_worker.huey", "--worker-type", "thread", "--workers", "4"),
        ready=r"The following commands are available",
    ),
)


def versions() -> str:
    """Return the peers and what is installed of them."""
    return ", ".join(f"{peer.title} {version(peer.package)}" for peer in PEERS)


def require_peers() -> None:
    """Leave with what to do when a peer is not installed; only `make bench` installs them.

    Raises:
        SystemExit: one is missing.
    """
    missing = [peer.title for peer in PEERS if find_spec(peer.package) is None]
    if missing:
        raise SystemExit(
            f"{', '.join(missing)} not installed for {sys.executable}: run `make bench`, which installs what is "
            "compared, or `.venv/bin/python -m pip install -r requirements-bench.txt`"
        )
