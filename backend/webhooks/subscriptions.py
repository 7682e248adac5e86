"""Which kinds of jobs somebody awaits the end of; asked for each job that is stored, and so kept in memory."""

import threading
import time
from typing import cast

from sqlalchemy import select, true

from backend.extensions import current, transaction
from backend.jobs.kinds import current_kinds
from backend.webhooks.tables import WebhookEndpoint

DELIVERY_KIND = "platform.deliver_webhook"  # its own end is announced to nobody
FRESH_SECONDS = 2.0  # how late a process notices what was registered or changed in another


class Subscriptions:
    """The kinds of jobs that enabled endpoints ask for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: frozenset[str] | None = None
        self._fresh_until = 0.0

    def wants(self, kind: str) -> bool:
        """Whether an endpoint asks for the ends of jobs of this kind, as of `FRESH_SECONDS` ago at most.

        Raises:
            Unavailable: the database does not answer.
        """
        return kind != DELIVERY_KIND and kind in self._current()

    def forget(self) -> None:
        """Read the endpoints again when next asked: they were changed here."""
        self._fresh_until = 0.0

    def _current(self) -> frozenset[str]:
        """Return what is wanted; while one thread reads it, the others go by what it was before."""
        wanted = self._wanted
        if wanted is not None and (time.monotonic() < self._fresh_until or self._lock.locked()):
            return wanted
        with self._lock:
            if self._wanted is None or time.monotonic() >= self._fresh_until:
                self._wanted = self._read()
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._wanted

    def _read(self) -> frozenset[str]:
        with transaction(read_only=True) as session:
            asked = session.scalars(select(WebhookEndpoint.kinds).where(WebhookEndpoint.enabled == true())).all()
        offered = announced_kinds()
        return frozenset(kind for kinds in asked for kind in (offered if kinds is None else kinds)) & offered


def announced_kinds() -> frozenset[str]:
    """Return the kinds of jobs whose ends can be heard of."""
    return frozenset(current_kinds()) - {DELIVERY_KIND}


def current_subscriptions() -> Subscriptions:
    """Return the subscriptions of the current application."""
    return cast("Subscriptions", current("subscriptions"))
