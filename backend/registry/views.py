"""Versions, decisions and what was live, as clients see them."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.inference.manifest import Column, Manifest, Training
from backend.registry.states import Action, Alias, VersionState
from backend.registry.tables import LedgerEntry, ModelVersion


class VersionView(BaseModel):
    """One version of a model."""

    model_config = ConfigDict(title="ModelVersion")

    model: str
    version: str
    state: VersionState
    aliases: tuple[Alias, ...] = Field(description="What names it.")
    manifest_sha256: str
    sha256: str = Field(description="Of the weights.")
    runtime: str
    columns: tuple[Column, ...]
    output: str
    metrics: dict[str, JsonValue]
    training: Training = Field(description="Where the weights come from: data, code, and the version before.")
    shipped: bool = Field(description="It came with a release, not by registration.")
    source: str
    signed_by: str | None = Field(description="The id of the key that signed its manifest.")
    tags: dict[str, str]
    registered_by: str
    registered_at: datetime
    archived_at: datetime | None
    memory_bytes: int | None = Field(description="What loading it took in a process of its own.")
    load_seconds: float | None


class VersionPage(BaseModel):
    """The versions of a model, the latest first."""

    versions: list[VersionView]


class LedgerView(BaseModel):
    """One decision. `hash` covers all other fields; `previous_hash` is that of the entry before."""

    model_config = ConfigDict(title="LedgerEntry", from_attributes=True)

    seq: int
    at: datetime
    action: Action
    model: str
    alias: Alias | None
    version: str | None
    manifest_sha256: str | None
    generation: int | None
    registered_by: str | None
    by: str
    reason: str
    previous_hash: str
    hash: str


class LedgerPage(BaseModel):
    """Decisions, the latest first."""

    entries: list[LedgerView]
    next_before_seq: int | None = Field(description="Pass as `before_seq` to get the next page; null on the last one.")


class FaultView(BaseModel):
    """The first entry of the ledger that is not what was written."""

    model_config = ConfigDict(title="LedgerFault", from_attributes=True)

    seq: int
    reason: str


class VerifiedView(BaseModel):
    """What came of verifying the ledger."""

    model_config = ConfigDict(title="VerifiedLedger", from_attributes=True)

    entries: int = Field(description="How many are as they were written.")
    head: str = Field(description="The hash of the last of them: note it elsewhere, and it proves all that led to it.")
    first_fault: FaultView | None


class LiveAtView(BaseModel):
    """What production of a model named at a moment, and who had decided it."""

    model_config = ConfigDict(title="LiveAt", from_attributes=True)

    model: str
    version: str | None = Field(description="Null if the model was unloaded.")
    manifest_sha256: str | None
    generation: int
    since: datetime
    action: Action
    by: str
    reason: str
    registered_by: str | None


def version_view(version: ModelVersion, aliases: Iterable[str]) -> VersionView:
    """Return a version as clients see it; `aliases` name it."""
    manifest = Manifest.model_validate(version.manifest)
    named = tuple(sorted(map(Alias, aliases)))
    return VersionView(
        state=_state(version, named),
        aliases=named,
        sha256=manifest.sha256,
        runtime=manifest.runtime,
        columns=manifest.columns,
        output=manifest.output,
        metrics=manifest.metrics,
        training=manifest.training,
        **{name: getattr(version, name) for name in _AS_STORED},
    )


def ledger_page(entries: Iterable[LedgerEntry], *, limit: int) -> LedgerPage:
    """Return the first `limit` of the entries, and whether there are more."""
    views = [LedgerView.model_validate(entry) for entry in entries]
    more = len(views) > limit
    return LedgerPage(entries=views[:limit], next_before_seq=views[limit - 1].seq if more else None)


_AS_STORED = tuple(name for name in VersionView.model_fields if name in ModelVersion.__table__.c)


def _state(version: ModelVersion, aliases: tuple[Alias, ...]) -> VersionState:
    if version.archived_at is not None:
        return VersionState.ARCHIVED
    for alias in (Alias.PRODUCTION, Alias.STAGING):
        if alias in aliases:
            return VersionState(alias)
    return VersionState.REGISTERED
