"""Logging: one JSON object a line in production, readable lines in development; static event names, ids as keywords.

Every record of a process passes `Redaction`: nothing of people is in logs, whoever writes them.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog

from backend.security.redaction import Redaction
from backend.settings import Environment, Settings

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from threading import ExceptHookArgs

log = structlog.get_logger()


def configure_logging(settings: Settings) -> None:
    """Send structlog and the standard library's logging to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    production = settings.environment is Environment.PRODUCTION
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if production else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[Redaction(settings), renderer],
            use_get_message=False,  # the format and its arguments, each by itself
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for ring in ("celery.worker.strategy", "celery.app.trace"):  # each job says itself how it went
        logging.getLogger(ring).setLevel(logging.WARNING)


def own_standard_error(settings: Settings) -> None:
    """Configure logging in a process whose standard error is a log: what Python would print there is logged too."""
    configure_logging(settings)
    logging.captureWarnings(capture=True)
    sys.excepthook = _on_end
    sys.unraisablehook = _on_unraisable
    threading.excepthook = _on_thread_end


class _Handler(logging.StreamHandler[Any]):
    """Writes lines; of one that cannot be written it says no more, where the standard library prints its content."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Say that a line is lost, and where it was written."""
        error = sys.exception()
        lost = f'{{"event": "log_line_lost", "logger": "{record.name}", "error": "{type(error).__name__}"}}\n'
        if sys.__stderr__ is not None:
            sys.__stderr__.write(lost)


def _on_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("process_ended", reason=error)


def _on_thread_end(args: "ExceptHookArgs") -> None:
    if not issubclass(args.exc_type, SystemExit):
        log.error("thread_ended", reason=args.exc_value)


def _on_unraisable(args: "UnraisableHookArgs") -> None:
    log.error("error_ignored", reason=args.exc_value)
