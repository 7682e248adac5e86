"""How far the processes are with what is to be served."""

import time
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from backend.clock import utc_now
from backend.extensions import transaction
from backend.registry.registry import Registry
from backend.registry.states import Alias
from backend.registry.tables import ModelAlias, ModelProcess, ModelVersion

SEEN_FOR = timedelta(seconds=15)  # a process that said nothing for so long is gone: they report every 5 s
LOOK_EVERY = 0.05  # seconds


class ProcessView(BaseModel):
    """What one process serves of a model."""

    process: str
    generation: int
    version: str | None = Field(description="Null when it serves none.")
    sha256: str | None = Field(description="Of the weights.")
    converged: bool
    error: str | None = Field(description="Why it does not serve what it should.")
    seen_at: datetime


class Rollout(BaseModel):
    """What of a model is to be served, and which processes serve it."""

    model_config = ConfigDict(title="Rollout")

    model: str
    generation: int = Field(description="How often it was decided what is to be served; 0 as it was shipped.")
    version: str | None = Field(description="Null when the model was unloaded.")
    manifest_sha256: str | None
    converged: int
    total: int
    summary: str = Field(description="Such as: 3 of 4 converged.")
    processes: list[ProcessView]


def get_rollout(registry: Registry, model: str) -> Rollout:
    """Return what is to be served, and what each process that has loaded the model serves.

    Raises:
        UnknownModel: nobody knows it.
        ArtifactError: nothing was decided, and the catalogue of shipped models cannot be read.
        Unavailable: the database does not answer.
    """
    wanted = (
        select(ModelAlias.generation, ModelVersion.version, ModelVersion.manifest_sha256)
        .outerjoin(ModelVersion, ModelVersion.id == ModelAlias.version_id)
        .where(ModelAlias.model == model, ModelAlias.alias == Alias.PRODUCTION)
        .where(ModelAlias.generation > 0)  # 0: its first move is being prepared
    )
    seen = (
        select(ModelProcess)
        .where(ModelProcess.model == model, ModelProcess.seen_at > utc_now() - SEEN_FOR)
        .order_by(ModelProcess.process)
    )
    with transaction(read_only=True) as session:
        decided = session.execute(wanted).one_or_none()
        rows = session.scalars(seen).all()
    if decided is None:
        entry = registry.shipped.entry(model)
        generation, version, digest = 0, entry.version, entry.manifest_sha256
    else:
        generation, version, digest = decided
    processes = [
        ProcessView(
            process=row.process,
            generation=row.generation,
            version=row.version,
            sha256=row.sha256,
            converged=row.generation == generation and row.version == version,
            error=row.error,
            seen_at=row.seen_at,
        )
        for row in rows
    ]
    converged = sum(one.converged for one in processes)
    return Rollout(
        model=model,
        generation=generation,
        version=version,
        manifest_sha256=digest,
        converged=converged,
        total=len(processes),
        summary=f"{converged} of {len(processes)} converged",
        processes=processes,
    )


def await_rollout(registry: Registry, model: str, *, seconds: float) -> Rollout:
    """Return when every process serves what is to be served, or said why it does not, or when the time is over.

    Raises:
        UnknownModel, ArtifactError, Unavailable: as `get_rollout`.
    """
    until, asked_at = time.monotonic() + seconds, utc_now()
    while True:
        rollout = get_rollout(registry, model)
        settled = all(one.converged or (one.error and one.seen_at > asked_at) for one in rollout.processes)
        if settled or time.monotonic() > until:
            return rollout
        time.sleep(LOOK_EVERY)
