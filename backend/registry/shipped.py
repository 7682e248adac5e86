"""The models of a release: entered as versions, and made production where nobody decided otherwise."""

from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.errors import ArtifactError
from backend.extensions import transaction
from backend.inference.manifest import MANIFEST, CatalogueEntry
from backend.inference.trust import SIGNATURE
from backend.registry import ledger
from backend.registry.aliases import alias_row, move
from backend.registry.registry import Registry
from backend.registry.states import NAMING, Action, Alias
from backend.registry.tables import LedgerEntry, ModelAlias, ModelVersion
from backend.registry.versions import NewVersion, enter

log = structlog.get_logger()

RELEASE: Final = "release"
"""Who registers and adopts what is shipped."""


def adopt_shipped(registry: Registry, *, at: datetime) -> None:
    """Enter every shipped version that is not known, and follow a newer release; any number of processes may do so.

    A version that somebody promoted from the registry stays production, and a model that somebody unloaded stays so.
    A model whose files are broken is left as it is.

    Raises:
        ArtifactError: the catalogue itself is missing or unreadable.
    """
    for model in registry.shipped.names():
        adopt(registry, model, at=at)


def adopt(registry: Registry, model: str, *, at: datetime) -> None:
    """Enter the shipped version of one model, and make it production; see `adopt_shipped`."""
    try:
        entry = registry.shipped.entry(model)
        with transaction(read_only=True) as session:
            known, follow = _found(session, model, entry)
        if known is not None and not follow:
            return
        new = _read(registry, model, entry)
    except ArtifactError as error:
        log.warning("shipped_model_not_adopted", model=model, reason=error)
        return
    with transaction() as session:
        ledger.take_turn(session)
        known, follow = _found(session, model, entry)
        version = known or enter(session, new, at=at)
        if follow:
            row = alias_row(session, model, Alias.PRODUCTION, at=at)
            reason = f"version {version.version} came with the release"
            move(session, row, version, Action.ADOPTED, by=RELEASE, reason=reason, at=at)


def _found(session: Session, model: str, entry: CatalogueEntry) -> tuple[ModelVersion | None, bool]:
    """Return the row of a shipped version if there is one, and whether production should follow the release to it."""
    known = session.scalar(
        select(ModelVersion).where(ModelVersion.model == model, ModelVersion.manifest_sha256 == entry.manifest_sha256)
    )
    standing = session.execute(
        select(ModelAlias.generation, ModelVersion)
        .outerjoin(ModelVersion, ModelVersion.id == ModelAlias.version_id)
        .where(ModelAlias.model == model, ModelAlias.alias == Alias.PRODUCTION)
    ).one_or_none()
    if standing is None or standing.generation == 0:  # 0: somebody only prepares the first move
        return known, True
    served: ModelVersion | None = standing.ModelVersion
    if served is None or not served.shipped or (known is not None and served.id == known.id):
        return known, False
    # Somebody who went back to an older release's version on purpose is not overruled at the next start.
    return known, known is None or _named_by(session, model) == Action.ADOPTED


def _named_by(session: Session, model: str) -> str | None:
    """Return the action that let production name what it names."""
    return session.scalar(
        select(LedgerEntry.action)
        .where(
            LedgerEntry.model == model,
            LedgerEntry.alias == Alias.PRODUCTION,
            LedgerEntry.action.in_(NAMING),
        )
        .order_by(LedgerEntry.seq.desc())
        .limit(1)
    )


def _read(registry: Registry, model: str, entry: CatalogueEntry) -> NewVersion:
    """Verify every file of a shipped version."""
    manifest = registry.shipped.read(model).manifest
    store, trust = registry.shipped.store, registry.trust
    content = store.read(model, entry.version, MANIFEST, sha256=entry.manifest_sha256)
    signature = store.find(model, entry.version, SIGNATURE) if trust.asks else None
    return NewVersion(
        manifest=manifest,
        manifest_sha256=entry.manifest_sha256,
        shipped=True,
        source=RELEASE,
        signed_by=trust.check(manifest, content, signature),
        registered_by=RELEASE,
    )
