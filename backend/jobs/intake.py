"""Taking in jobs: what many threads submit at the same moment is stored in one transaction."""

import threading
from typing import Any, cast

from sqlalchemy import insert

from backend.errors import Unavailable
from backend.extensions import current, transaction
from backend.jobs.tables import JOB


class _Waiting:
    """A row that one thread has brought, and what came of it."""

    __slots__ = ("error", "row", "stored")

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        self.stored = False
        self.error: Exception | None = None


class Intake:
    """Lets the threads of a process store jobs together.

    The first thread to come stores its row; those that come meanwhile wait, and the next of them stores the rows of
    all. So nobody waits longer than for one transaction before the own one, and a rush costs few of them.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def store(self, row: dict[str, Any]) -> None:
        """Insert a job's row and commit it.

        Raises:
            Unavailable: the database does not answer; nothing was stored.
        """
        mine = _Waiting(row)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.stored and mine.error is None:
                with self._lock:
                    together, self._waiting = self._waiting, []
                _store(together)
        if mine.error is not None:
            raise mine.error


def _store(together: list[_Waiting]) -> None:
    try:
        with transaction() as session:
            session.execute(insert(JOB), [one.row for one in together])
    except Exception as error:  # noqa: BLE001 - whoever brought the row raises it in the own thread
        if len(together) > 1 and not isinstance(error, Unavailable):
            for one in together:  # a row that cannot be stored is nobody else's matter
                _store([one])
            return
        for one in together:
            one.error = error
    else:
        for one in together:
            one.stored = True


def current_intake() -> Intake:
    """Return the intake of the current application."""
    return cast("Intake", current("intake"))
