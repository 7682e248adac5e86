"""How gunicorn serves the API, wherever it is started: `gunicorn -c python:backend.ops.gunicorn …`.

The number of processes, the address and the time for the last requests are the installation's own.
"""

from typing import Any

from backend.ops.cores import stay_on_one

worker_class = "gthread"
threads = 96  # most of them wait, for a job or for the next event
control_socket_disable = True
logger_class = "backend.gunicorn_log.GunicornLog"  # by name: what it imports, others of this package need not
limit_request_field_size = 32_768  # bytes: gunicorn says little about what it refuses, so we refuse what is shorter


def post_fork(_server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Keep each process on a core of its own."""
    stay_on_one(worker.age)
