"""The rows that say which version an alias names, and how they are moved."""

from datetime import datetime

from sqlalchemy.orm import Session

from backend.registry import ledger
from backend.registry.states import Action, Alias
from backend.registry.tables import ModelAlias, ModelVersion


def alias_row(session: Session, model: str, alias: Alias, *, at: datetime) -> ModelAlias:
    """Return the row of an alias; a new one of generation 0 if it never named anything."""
    row = session.get(ModelAlias, (model, alias.value))
    if row is None:
        row = ModelAlias(model=model, alias=alias.value, generation=0, moved_at=at)
        session.add(row)
    return row


def move(
    session: Session,
    row: ModelAlias,
    version: ModelVersion | None,
    action: Action,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> int:
    """Let an alias name a version, or none, enter it in the ledger, and return the alias's generation."""
    row.version_id = None if version is None else version.id
    row.moved_at, row.moving_until = at, None
    row.generation += 1
    ledger.append(
        session,
        at=at,
        action=action,
        model=row.model,
        by=by,
        reason=reason,
        alias=Alias(row.alias),
        version=version,
        generation=row.generation,
    )
    return row.generation
