"""Logs carry nothing of people: what is known to be safe passes, everything else is replaced by a keyed hash.

No list of what is dangerous could be complete. This one says what is not: the names of fields and the form of their
values, texts that stand in the source code, and of errors the class and the places they passed (docs/adr/0018-logs.md).
"""

import hmac
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final
from uuid import UUID

import structlog

from backend.security.faults import described
from backend.security.secret import derive
from backend.settings import Settings

PURPOSE: Final = "log redaction"
"""What `derive` makes the key of the hashes for."""

NUMBERS: Final = frozenset(
    {
        *("answers", "attempt", "bytes", "difference", "donors", "expired", "generation"),
        *("jobs", "leases_lost", "removed", "rung", "seconds", "status"),
    }
)
"""Fields that hold counts, sizes and durations."""

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")  # kinds, states, codes, classes, models
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_NODE = re.compile(r"[A-Za-z0-9_.-]{1,64}@[A-Za-z0-9_.-]{1,255}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_ATTEMPT = re.compile(rf"{_UUID.pattern}/\d{{1,6}}")
_PLACE = re.compile(r"[^\s:]{1,300}:\d{1,6} [\w.<>]{1,100}")

TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    **dict.fromkeys(("bulk_id", "endpoint_id", "job_id", "login_id", "replay"), _UUID),
    **dict.fromkeys(("code", "domain", "entry", "error", "kind", "level", "logger"), _WORD),
    **dict.fromkeys(("model", "outcome", "queues", "schedule", "state"), _WORD),
    **dict.fromkeys(("fire_at", "heard_at", "timestamp"), _MOMENT),
    "at": _PLACE,
    "attempts": _ATTEMPT,
    "key_id": re.compile(r"[0-9a-f]{8}"),
    "request_id": re.compile(r"[A-Za-z0-9._-]{8,64}"),
    "version": _VERSION,
    "worker": _NODE,
}
"""Fields that hold a text, an id, a choice or a list of these, and the form that each must have."""

REASON: Final = "reason"  # an error, or a text that stands in the source code
EVENT: Final = re.compile(r"[a-z0-9_]{1,60}")
FIELD: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")

KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "gunicorn.error": frozenset(
        {
            "Starting gunicorn %s",
            "Connection in use: %s",
            "Invalid address: %s",
            "Can't connect to %s",
            "Listening at: %s (%s)",
            "Using worker: %s",
            "Booting worker with pid: %s",
            "Worker exiting (pid: %s)",
            "Worker (pid:%s) exited with code %s.",
            "Worker (pid:%s) was sent %s!",
            "Worker (pid:%s) was sent %s! Perhaps out of memory?",
            "WORKER TIMEOUT (pid:%s)",
            "Handling signal: %s",
            "Shutting down: %s",
        }
    ),
    "celery.apps.worker": frozenset({"%s ready."}),
    "celery.beat": frozenset({"Scheduler: Sending due task %s (%s)", "beat pidbox: Connected to %s."}),
    "celery.worker.consumer.connection": frozenset({"Connected to %s"}),
    "celery.worker.consumer.consumer": frozenset({"consumer: Cannot connect to %s: %s.\n%s\n"}),
    "celery.worker.request": frozenset({"Hard time limit (%ss) exceeded for %s[%s]"}),
    "flower.command": frozenset({"Visit me at http%s://%s:%s%s", "Broker: %s", "%s detected, shutting down"}),
    "multiprocessing": frozenset({"Process %r pid:%r exited with %r"}),
}
"""Messages of others whose arguments are known: addresses, process ids, signals, names of tasks and workers."""


class Redaction:
    """The structlog processor that all records of a process pass: ours, and those of libraries.

    It stands in the `ProcessorFormatter`, which brings libraries' records as their format and `positional_args`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: bytes | None = None

    def __call__(
        self, _logger: object, _method: str, event_dict: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Return what may be written of one record."""
        record: logging.LogRecord = event_dict.pop("_record")
        ours = event_dict.pop("_from_structlog")
        fields = dict(event_dict)
        said, error = fields.pop("event"), _error_of(fields.pop("exc_info", None))
        written: dict[str, Any] = {"event": self._event(said) if ours else None, "logger": record.name}
        if not ours:
            written |= self._foreign(record, said, fields.pop("positional_args", ()))
        written |= {self._name(name): self._value(name, value) for name, value in fields.items()}
        if error is not None:
            written["exception"] = described(error)
        return written

    def hashed(self, value: object) -> str:
        """Return what stands for a value: the same in all logs of this installation, and nothing to guess from."""
        if self._made is None:
            self._made = derive(self._settings, PURPOSE)
        text = str(value).encode("utf-8", "backslashreplace")
        return f"hashed:{hmac.digest(self._made, text, 'sha256').hex()[:12]}"

    def _event(self, said: object) -> str:
        ours = isinstance(said, str) and EVENT.fullmatch(said) and _is_written_in_source(said)
        return str(said) if ours else self.hashed(said)

    def _name(self, name: str) -> str:
        return name if FIELD.fullmatch(name) else self.hashed(name)

    def _value(self, name: str, value: object) -> object:
        if isinstance(value, BaseException):
            return described(value)
        if name == REASON and isinstance(value, str) and _is_written_in_source(value):
            return value
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._one(name, item) for item in value]
        return self._one(name, value)

    def _one(self, name: str, value: object) -> object:
        if value is None and (name in NUMBERS or name in TEXTS):
            return None
        if name in NUMBERS and isinstance(value, (int, float)):
            return value
        plain = value.value if isinstance(value, Enum) else str(value) if isinstance(value, UUID) else value
        if name in TEXTS and isinstance(plain, str) and TEXTS[name].fullmatch(plain):
            return plain
        return self.hashed(value)

    def _foreign(self, record: logging.LogRecord, said: object, arguments: object) -> dict[str, Any]:
        """Return what may be written of a library's message, which is text that may quote anything."""
        at = f"{record.pathname.rpartition('site-packages/')[2]}:{record.lineno} {record.funcName}"
        if isinstance(record.msg, BaseException):
            return {"event": "error", "at": at, "reason": described(record.msg)}
        if said in KNOWN.get(record.name, ()) and isinstance(arguments, tuple):
            return {"event": str(said) % tuple(map(_named, arguments))}
        event = str(said) if _is_written_in_source(str(said)) else self.hashed(said)
        given = arguments.values() if isinstance(arguments, Mapping) else arguments
        shown = [self._argument(one) for one in given] if isinstance(given, Sequence) else []
        return {"event": event, "at": at, **({"args": shown} if shown else {})}

    def _argument(self, value: object) -> str:
        return type(value).__name__ if isinstance(value, BaseException) else self.hashed(value)


def _named(value: object) -> object:
    return type(value).__name__ if isinstance(value, BaseException) else value


def _is_written_in_source(text: str) -> bool:
    """Whether a text is a constant of a function that is just running, as that of whoever logs it is."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way to look at callers
    while frame is not None:
        if text in frame.f_code.co_consts:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _error_of(exc_info: object) -> BaseException | None:
    """Return the error that `exc_info` stands for, in any of its forms."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None
