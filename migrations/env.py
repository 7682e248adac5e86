"""Alembic's entry: the application's metadata and engine, and nothing else."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app

from backend.extensions import Table, UtcDateTime


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write our moment type as the plain one, so that a migration outlives the code it was made from."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


with current_app.extensions["migrate"].db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_item=render_item,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
