"""The API with the chaos domain and a bell that kills: what happens to a job whose API dies between commit and ring."""

import os
import signal
from pathlib import Path
from uuid import UUID

from flask import Flask

from backend.app import create_app
from backend.domains.catalog import domains
from backend.jobs.ring import Doorbell
from tests.chaos.domain import DOMAIN

TRAP = "CHAOS_TRAP"  # the variable that names a file; while that exists, the next ring is the process's end


class TrappedDoorbell(Doorbell):
    """Rings, unless the trap is set: then the process that rings is killed, its job committed."""

    trap: Path

    def ring(self, kind: str, job_queue: str, job_id: UUID, *more: object, **options: object) -> None:
        try:
            self.trap.unlink()
        except FileNotFoundError:
            super().ring(kind, job_queue, job_id, *more, **options)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def create_chaos_app() -> Flask:
    """Return the application for gunicorn."""
    app = create_app(domains=(*domains(), DOMAIN))
    doorbell = TrappedDoorbell(app.extensions["settings"])
    doorbell.trap = Path(os.environ[TRAP])
    app.extensions["doorbell"] = doorbell
    return app
