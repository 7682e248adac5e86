"""Moves of aliases: which version is production, which is staging, and everything that is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.errors import ArtifactError, Conflict, NotFound, RefusedArtifact
from backend.extensions import transaction
from backend.registry import conditions, ledger
from backend.registry.aliases import alias_row, move
from backend.registry.checked import Checked
from backend.registry.hints import Hints
from backend.registry.registry import Registry
from backend.registry.shipped import adopt
from backend.registry.states import NAMING, Action, Alias
from backend.registry.tables import LedgerEntry, ModelAlias, ModelVersion
from backend.registry.versions import find

log = structlog.get_logger()

Check: TypeAlias = Callable[[ModelVersion], Checked]
"""Loads a version in a process of its own; raises ArtifactError if it cannot be served."""

MOVE_SECONDS: Final = 300
"""How long a move may be prepared; the next one waits no longer for a process that was killed in the middle."""


def promote(
    registry: Registry,
    *,
    model: str,
    version: str,
    alias: Alias,
    by: str,
    reason: str,
    check: Check,
    hints: Hints,
) -> int:
    """Let an alias name a version, and return the alias's generation; all or nothing.

    Raises:
        NotFound: there is no such version.
        Conflict: it is archived or named already, a second person must promote it, another move of the model is being
            prepared, or it does not fit into memory.
        InputError: it takes other columns than the version it replaces; or nobody is named, or no reason is given.
        ArtifactError: it cannot be loaded.
    """
    ledger.check_words(by=by, reason=reason)
    if alias is Alias.STAGING:
        return _stage(model, version, by=by, reason=reason)
    with _moving(registry, model) as until:
        with transaction(read_only=True) as session:
            candidate = find(session, model, version)
        conditions.require_second_person(registry, candidate, by=by)
        generation = _replace(registry, candidate, Action.PROMOTED, by=by, reason=reason, check=check, until=until)
    return _announced(hints, model, generation)


def rollback(registry: Registry, *, model: str, by: str, reason: str, check: Check, hints: Hints) -> int:
    """Let production name what it named before, and return its generation.

    That version was approved when it was promoted, so one person is enough. What was rolled back is never returned to:
    of the versions 1, 2, 3 the first rollback leads to 2 and the second to 1. After an unload it leads to the version
    that was unloaded.

    Raises:
        NotFound: there is no such model.
        Conflict: there is no version before, or it is archived; and as `promote`.
        InputError, ArtifactError: as `promote`.
    """
    ledger.check_words(by=by, reason=reason)
    with _moving(registry, model) as until:
        with transaction(read_only=True) as session:
            candidate = _before(session, model)
        generation = _replace(registry, candidate, Action.ROLLED_BACK, by=by, reason=reason, check=check, until=until)
    return _announced(hints, model, generation)


def reload(registry: Registry, *, model: str, by: str, reason: str, check: Check, hints: Hints) -> int:
    """Let every process load the production version anew, and return production's generation.

    Raises:
        NotFound: there is no such model.
        Conflict: none of its versions is production, or another move of it is being prepared.
        ArtifactError: the version can no longer be loaded.
        ValidationFailed: nobody is named, or no reason is given.
    """
    ledger.check_words(by=by, reason=reason)
    with _moving(registry, model) as until:
        with transaction(read_only=True) as session:
            served = _served(session, model)
        checked = check(served)
        with transaction() as session:
            row = _claimed_row(session, model, until)
            version = _measured(session, served, checked)
            generation = move(session, row, version, Action.RELOADED, by=by, reason=reason, at=utc_now())
    return _announced(hints, model, generation)


def unload(registry: Registry, *, model: str, by: str, reason: str, hints: Hints) -> int:
    """Let no version of a model be production, and return production's generation.

    Raises:
        NotFound, Conflict, ValidationFailed: as `reload`.
    """
    ledger.check_words(by=by, reason=reason)
    with _moving(registry, model) as until, transaction() as session:
        row = _claimed_row(session, model, until)
        _served(session, model)
        generation = move(session, row, None, Action.UNLOADED, by=by, reason=reason, at=utc_now())
    return _announced(hints, model, generation)


def _stage(model: str, version: str, *, by: str, reason: str) -> int:
    now = utc_now()
    with transaction() as session:
        ledger.take_turn(session)
        staged = find(session, model, version)
        conditions.require_kept(staged)
        row = alias_row(session, model, Alias.STAGING, at=now)
        if row.version_id == staged.id:
            raise Conflict(f"version {version} of model {model} is staging already")
        return move(session, row, staged, Action.STAGED, by=by, reason=reason, at=now)


def _replace(
    registry: Registry,
    candidate: ModelVersion,
    action: Action,
    *,
    by: str,
    reason: str,
    check: Check,
    until: datetime,
) -> int:
    """Check a version, which takes long, outside of any transaction, and move production to it in one."""
    with transaction(read_only=True) as session:
        _require(session, registry, candidate, memory_bytes=candidate.memory_bytes or 0)
    if registry.memory_bytes is not None:
        _measure_production(check)
    checked = check(candidate)
    with transaction() as session:
        row = _claimed_row(session, candidate.model, until)
        version = _measured(session, candidate, checked)
        _require(session, registry, version, memory_bytes=checked.memory_bytes)  # others decided things meanwhile
        return move(session, row, version, action, by=by, reason=reason, at=utc_now())


def _measure_production(check: Check) -> None:
    """Find out what the production versions take of which that is not known: they came with the release."""
    unknown = select(ModelVersion).join(ModelAlias, ModelAlias.version_id == ModelVersion.id)
    with transaction(read_only=True) as session:
        of_production = unknown.where(ModelAlias.alias == Alias.PRODUCTION, ModelVersion.memory_bytes.is_(None))
        versions = session.scalars(of_production.order_by(ModelVersion.model)).all()
    for version in versions:
        try:
            checked = check(version)
        except (ArtifactError, RefusedArtifact) as error:  # then no process has it in memory
            log.warning("production_not_measured", model=version.model, reason=error)
            continue
        with transaction() as session:
            _measured(session, version, checked)


def _require(session: Session, registry: Registry, version: ModelVersion, *, memory_bytes: int) -> None:
    served = _production(session, version.model)
    if served is not None and served.id == version.id:
        raise Conflict(f"version {version.version} of model {version.model} is production already; reload the model")
    conditions.require_kept(version)
    conditions.require_same_columns(version, served)
    conditions.require_memory(session, registry, version, memory_bytes=memory_bytes)


def _before(session: Session, model: str) -> ModelVersion:
    """Return what production named before, leaving out what was rolled back."""
    of_production = (LedgerEntry.model == model, LedgerEntry.alias == Alias.PRODUCTION)
    moves = select(LedgerEntry.action, LedgerEntry.manifest_sha256).where(
        *of_production, LedgerEntry.action.in_(NAMING)
    )
    named: list[str | None] = []
    for action, sha256 in session.execute(moves.order_by(LedgerEntry.seq)):
        if action == Action.ROLLED_BACK:
            while named and named[-1] != sha256:
                named.pop()
        if not named or named[-1] != sha256:
            named.append(sha256)
    if _production(session, model) is not None:
        named = named[:-1]
    if not named:
        raise Conflict(f"production of model {model} named no version before; promote one")
    of_model = select(ModelVersion).where(ModelVersion.model == model)
    return session.scalars(of_model.where(ModelVersion.manifest_sha256 == named[-1])).one()


@contextmanager
def _moving(registry: Registry, model: str) -> Iterator[datetime]:
    """Keep other moves of a model's production away; what this yields stands for the right to move it."""
    if model in registry.shipped.names():
        adopt(registry, model, at=utc_now())  # so that there is something to replace, and to go back to
    until = _claim(model)
    try:
        yield until
    except BaseException:
        _give_up(model, until)
        raise


def _claim(model: str) -> datetime:
    now = utc_now()
    with transaction() as session:
        ledger.take_turn(session)
        if not session.scalar(select(ModelVersion.id).where(ModelVersion.model == model).limit(1)):
            raise NotFound("model", model)
        row = alias_row(session, model, Alias.PRODUCTION, at=now)
        if row.moving_until is not None and row.moving_until > now:
            raise Conflict(
                f"production of model {model} is being changed already, until {row.moving_until:%H:%M:%S} UTC at the"
                " latest; try again then"
            )
        row.moving_until = now + timedelta(seconds=MOVE_SECONDS)
        return row.moving_until


def _give_up(model: str, until: datetime) -> None:
    with transaction() as session:
        ledger.take_turn(session)
        row = session.get(ModelAlias, (model, Alias.PRODUCTION.value))
        if row is None or row.moving_until != until:
            return
        if row.generation == 0:
            session.delete(row)
        else:
            row.moving_until = None


def _claimed_row(session: Session, model: str, until: datetime) -> ModelAlias:
    """Return the production row, for the transaction that moves it."""
    ledger.take_turn(session)
    row = session.get(ModelAlias, (model, Alias.PRODUCTION.value))
    if row is None or row.moving_until != until:
        raise Conflict(f"production of model {model} was changed by somebody else meanwhile; look at it and try again")
    return row


def _served(session: Session, model: str) -> ModelVersion:
    """Return the production version of a model, of which there must be one."""
    served = _production(session, model)
    if served is None:
        raise Conflict(f"no version of model {model} is production; promote one, or roll back to the last")
    return served


def _production(session: Session, model: str) -> ModelVersion | None:
    named = select(ModelVersion).join(ModelAlias, ModelAlias.version_id == ModelVersion.id)
    return session.scalar(named.where(ModelAlias.model == model, ModelAlias.alias == Alias.PRODUCTION))


def _measured(session: Session, version: ModelVersion, checked: Checked) -> ModelVersion:
    """Return the row of a version, with what its check found."""
    row = session.get_one(ModelVersion, version.id)
    row.memory_bytes, row.load_seconds = checked.memory_bytes, checked.load_seconds
    return row


def _announced(hints: Hints, model: str, generation: int) -> int:
    log.info("production_moved", model=model, generation=generation)
    hints.give(model)
    return generation
