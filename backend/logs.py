"""Logging: one JSON object a line in production, readable lines in development; static event names, ids as keywords."""

import logging
import sys

import structlog

from backend.settings import Environment, Settings


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for ring in ("celery.worker.strategy", "celery.app.trace"):  # each job says itself how it went
        logging.getLogger(ring).setLevel(logging.WARNING)
