"""The watchdog of a worker: it notices that the worker is deaf or stuck and ends it; the supervisor starts it again.

Celery nearly always reconnects by itself. Whatever keeps it from that (a half-open connection, a delivery that was
never acknowledged and fills the window, a deadlock) has one sign: an idle worker does not receive what is sent to it.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection

import structlog
from billiard import active_children
from celery import Celery
from celery.utils.nodenames import worker_direct
from celery.worker import state
from celery.worker.request import Request
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from backend.clock import utc_now
from workers.shutdown import FINISH_SECONDS

log = structlog.get_logger()

ECHO = "worker.echo"
LOOK_EVERY = 10.0  # seconds
PATIENCE = 3  # echoes in a row that may stay unanswered, looks in a row at which an attempt may be past its time
LEAVE_SECONDS = FINISH_SECONDS + 5.0  # until a stuck worker, asked to stop, is ended
LONGEST_UPKEEP = 600.0  # seconds that a task without a time limit may take
EXIT_STATUS = os.EX_SOFTWARE


class Watchdog:
    """Looks at its worker again and again, on a thread that waits for neither its main thread nor the database.

    It counts looks and not seconds, so that a process that slept (SIGSTOP, a suspended machine) has time to wake up.

    Args:
        echo: sends the worker a message, over a connection of its own.
        at_work: whether anything runs; a worker at work is not deaf, and is sent nothing.
        overdue: the attempts that run here and are past their time.
        end: ends the process.
        every: seconds between looks.
    """

    def __init__(
        self,
        *,
        echo: Callable[[], None],
        at_work: Callable[[], bool],
        overdue: Callable[[], Collection[str]],
        end: Callable[[], None],
        every: float = LOOK_EVERY,
    ) -> None:
        self._echo = echo
        self._at_work = at_work
        self._overdue = overdue
        self._end = end
        self._every = every
        self._unanswered = 0
        self._rests = False
        self._past_time: Counter[str] = Counter()
        self.heard_at = utc_now()

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def heard(self) -> None:
        """Note that the worker received something."""
        self._unanswered = 0
        self.heard_at = utc_now()

    def rest(self) -> None:
        """Look no more: a worker that stops consumes nothing. Callable from a signal handler."""
        self._rests = True

    def look(self) -> None:
        """Look once, and end a worker that is stuck or deaf."""
        if self._rests:
            return
        self._past_time = Counter({attempt: self._past_time[attempt] + 1 for attempt in self._overdue()})
        if self._past_time and max(self._past_time.values()) > PATIENCE:
            log.error("worker_stuck", attempts=list(self._past_time))
            os.kill(os.getpid(), signal.SIGTERM)  # the other attempts finish or are handed back
            time.sleep(LEAVE_SECONDS)
            self._end()
        elif self._at_work():
            self.heard()
        elif self._unanswered >= PATIENCE:
            log.error("worker_deaf", heard_at=self.heard_at.isoformat())
            self._end()
        else:
            self._ask()

    def _ask(self) -> None:
        self._unanswered += 1  # before it is sent: the answer may be faster than the next line
        try:
            self._echo()
        except (OperationalError, RedisError, OSError) as error:
            self._unanswered = 0  # nobody can hear a broker that does not answer
            log.warning("echo_not_sent", error=type(error).__name__)

    def _run(self) -> None:
        while True:
            time.sleep(self._every)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a boundary: a watchdog that ended would be missed by nobody
                log.error("watchdog_failed", error=type(error).__name__)  # noqa: TRY400 - its text may quote data


def is_at_work() -> bool:
    """Whether anything but an echo runs here, for no longer than it may, or is about to.

    What runs for longer was not seen ending: the main thread does not come round to it.
    """
    return any(request.name != ECHO and not _is_over(request) for request in list(state.requests.values()))


def _is_over(request: Request) -> bool:
    longest = (request.task.time_limit or LONGEST_UPKEEP) + LOOK_EVERY
    return request.time_start is not None and time.time() - request.time_start > longest


def add_echo_task(celery: Celery) -> None:
    """Give a worker the task that its watchdog sends; that it was received is all that counts."""

    @celery.task(name=ECHO, send_events=False, shared=False)  # no events: Flower shows jobs
    def _echo() -> None: ...


def send_echo(celery: Celery, node: str, *, expires: float = LOOK_EVERY * PATIENCE) -> None:
    """Send an echo to the own queue of a worker, over a fresh connection.

    Raises:
        OperationalError, RedisError, OSError: the broker does not answer.
    """
    with celery.connection_for_write() as connection:
        celery.send_task(
            ECHO,
            queue=worker_direct(node),  # type: ignore[arg-type] # the stubs know names only
            expires=expires,
            connection=connection,
            ignore_result=True,
            retry=False,
        )


def end_process() -> None:
    """End this process and its children at once: whatever holds it up would hold up a farewell, too."""
    for child in active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
    os._exit(EXIT_STATUS)
