"""Which model versions this installation has served."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, UniqueConstraint, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import BigId, Table, UtcDateTime, transaction
from backend.inference.manifest import Manifest


class ModelArtifact(Table):
    """One version of one model, entered when a worker first loaded it."""

    __tablename__ = "model_artifact"
    __table_args__ = (UniqueConstraint("name", "sha256"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    runtime: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64))  # of the weights
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    first_loaded_at: Mapped[datetime] = mapped_column(UtcDateTime)


def enter_loaded(manifests: Iterable[Manifest], *, at: datetime) -> None:
    """Enter versions that were loaded and are not known yet; safe when several workers do so at once."""
    known = first_loaded()
    for manifest in manifests:
        sha256 = manifest.sha256
        if (manifest.name, sha256) in known:
            continue
        row = ModelArtifact(
            name=manifest.name,
            version=manifest.version,
            runtime=manifest.runtime,
            sha256=sha256,
            metrics=dict(manifest.metrics),
            first_loaded_at=at,
        )
        try:
            with transaction() as session:
                session.add(row)
        except IntegrityError:
            continue  # another worker entered it between our look and our insert


def first_loaded() -> dict[tuple[str, str], datetime]:
    """Return when each version was first loaded, by name and digest of its weights."""
    with transaction(read_only=True) as session:
        rows = session.execute(select(ModelArtifact.name, ModelArtifact.sha256, ModelArtifact.first_loaded_at))
        return {(name, sha256): at for name, sha256, at in rows}
