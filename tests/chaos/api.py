"""The API with the chaos domain and a bell that kills: what happens to a job whose API dies between commit and ring."""

import os
import signal
from pathlib import Path

from flask import Flask

from backend.app import create_app
from backend.domains.catalog import domains
from backend.jobs.ring import Doorbell
from tests.chaos.domain import DOMAIN

TRAP = "CHAOS_TRAP"  # the variable that names a file; while that exists, the next ring is the process's end


def create_chaos_app() -> Flask:
    """Return the application for gunicorn."""
    app = create_app(domains=(*domains(), DOMAIN))
    set_trap(app.extensions["doorbell"], Path(os.environ[TRAP]))
    return app


def set_trap(doorbell: Doorbell, trap: Path) -> None:
    """Let the process that rings be killed when the trap is there: its job is committed, and nobody rings for it."""
    ring = doorbell.ring

    def ring_or_die(*args: object, **options: object) -> None:
        try:
            trap.unlink()
        except FileNotFoundError:
            ring(*args, **options)
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    doorbell.ring = ring_or_die
