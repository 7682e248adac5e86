"""When keys were last used: to the minute, so that a request seldom waits for a write."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import update

from backend.errors import Unavailable
from backend.extensions import transaction
from backend.security.directory import MOST_KNOWN, KnownKey
from backend.security.tables import ApiKey

STEP: Final = timedelta(minutes=1)

_NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


class LastUse:
    """Writes uses of keys, at most one a minute for each key and process."""

    def __init__(self) -> None:
        self._noted: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def note(self, key: KnownKey, at: datetime) -> None:
        """Write that a key was used, if that was last written a minute ago; a database that fails is only logged."""
        if not self._is_due(key, at):
            return
        try:
            with transaction() as session:
                session.execute(update(ApiKey).where(ApiKey.id == key.id).values(last_used_at=at))
        except Unavailable as error:
            log.warning("last_use_not_written", key_id=key.id, reason=error)

    def _is_due(self, key: KnownKey, at: datetime) -> bool:
        if at - (key.last_used_at or _NEVER) < STEP:
            return False
        with self._lock:
            if at - self._noted.get(key.id, _NEVER) < STEP:
                return False
            if len(self._noted) >= MOST_KNOWN:
                self._noted.clear()
            self._noted[key.id] = at  # before it is written: a write that fails is not tried by every request
            return True
