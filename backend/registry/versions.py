"""The versions of models: registered, found, tagged, archived."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.errors import Conflict, FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.inference.manifest import Manifest
from backend.registry import ledger
from backend.registry.states import Action
from backend.registry.tables import ModelAlias, ModelVersion
from backend.registry.views import VersionView, version_view

MOST_TAGS: Final = 50
MOST_TAG: Final = 200  # characters of a tag's name and of its value


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version whose files lie in their store, verified."""

    manifest: Manifest
    manifest_sha256: str
    shipped: bool
    source: str
    signed_by: str | None
    registered_by: str
    memory_bytes: int | None = None
    load_seconds: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def register(new: NewVersion, *, at: datetime) -> VersionView:
    """Enter a version, and in the ledger who did.

    Raises:
        Conflict: this very manifest is entered already, or the model has another version of that name.
        ValidationFailed: nobody is named, or the tags cannot be stored.
    """
    _check_tags(new.tags)
    with transaction() as session:
        ledger.take_turn(session)
        _refuse_known(session, new.manifest, new.manifest_sha256)
        return version_view(enter(session, new, at=at), ())


def enter(session: Session, new: NewVersion, *, at: datetime) -> ModelVersion:
    """Add the row and the entry of a version that is not known yet."""
    version = ModelVersion(
        model=new.manifest.name,
        version=new.manifest.version,
        manifest_sha256=new.manifest_sha256,
        shipped=new.shipped,
        manifest=json.loads(new.manifest.model_dump_json()),  # without NaN, which PostgreSQL does not take
        signed_by=new.signed_by,
        source=new.source,
        tags=dict(new.tags),
        registered_by=new.registered_by,
        registered_at=at,
        memory_bytes=new.memory_bytes,
        load_seconds=new.load_seconds,
    )
    session.add(version)
    ledger.append(
        session,
        at=at,
        action=Action.REGISTERED,
        model=version.model,
        by=new.registered_by,
        reason=new.source,
        version=version,
    )
    return version


def find(session: Session, model: str, version: str) -> ModelVersion:
    """Return a version by its name; the latest where releases used one name for several.

    Raises:
        NotFound: there is none.
    """
    named = select(ModelVersion).where(ModelVersion.model == model, ModelVersion.version == version)
    found = session.scalar(named.order_by(ModelVersion.id.desc()).limit(1))
    if found is None:
        raise NotFound("version", f"{version} of model {model}")
    return found


def get_version(model: str, version: str) -> VersionView:
    """Return a version as clients see it.

    Raises:
        NotFound: there is none.
    """
    with transaction(read_only=True) as session:
        return _view(session, find(session, model, version))


def list_versions(model: str | None = None) -> list[VersionView]:
    """Return the versions of a model, or of all of them; of each the latest first."""
    query = select(ModelVersion).order_by(ModelVersion.model, ModelVersion.id.desc())
    if model is not None:
        query = query.where(ModelVersion.model == model)
    with transaction(read_only=True) as session:
        aliases = _aliases(session)
        return [version_view(version, aliases[version.id]) for version in session.scalars(query)]


def tag(*, model: str, version: str, tags: Mapping[str, str | None], by: str, at: datetime) -> VersionView:
    """Set tags of a version, and remove those that are None; the ledger says which.

    Raises:
        NotFound: there is no such version.
        ValidationFailed: nobody is named, or the tags cannot be stored.
    """
    with transaction() as session:
        ledger.take_turn(session)
        tagged = find(session, model, version)
        kept = {name: value for name, value in {**tagged.tags, **tags}.items() if value is not None}
        _check_tags(kept)
        changes = [f"{name}={value}" if value is not None else f"no {name}" for name, value in sorted(tags.items())]
        tagged.tags = kept
        _decide(session, tagged, Action.TAGGED, by=by, reason=", ".join(changes), at=at)
        return _view(session, tagged)


def archive(*, model: str, version: str, by: str, reason: str, at: datetime) -> VersionView:
    """Put a version away: no alias may name it until it is restored. Its files stay.

    Raises:
        NotFound: there is no such version.
        Conflict: an alias names it, or it is archived already.
        ValidationFailed: nobody is named, or no reason is given.
    """
    with transaction() as session:
        ledger.take_turn(session)
        archived = find(session, model, version)
        if archived.archived_at is not None:
            raise Conflict(f"version {version} of model {model} is archived already")
        if aliases := _aliases(session)[archived.id]:
            named = " and ".join(sorted(aliases))
            raise Conflict(f"version {version} of model {model} is named by {named}; let that name another one first")
        archived.archived_at = at
        _decide(session, archived, Action.ARCHIVED, by=by, reason=reason, at=at)
        return _view(session, archived)


def restore(*, model: str, version: str, by: str, reason: str, at: datetime) -> VersionView:
    """Take an archived version back among those that may be promoted.

    Raises:
        NotFound: there is no such version.
        Conflict: it is not archived.
        ValidationFailed: nobody is named, or no reason is given.
    """
    with transaction() as session:
        ledger.take_turn(session)
        restored = find(session, model, version)
        if restored.archived_at is None:
            raise Conflict(f"version {version} of model {model} is not archived")
        restored.archived_at = None
        _decide(session, restored, Action.RESTORED, by=by, reason=reason, at=at)
        return _view(session, restored)


def _decide(session: Session, version: ModelVersion, action: Action, *, by: str, reason: str, at: datetime) -> None:
    ledger.append(session, at=at, action=action, model=version.model, by=by, reason=reason, version=version)


def _view(session: Session, version: ModelVersion) -> VersionView:
    return version_view(version, _aliases(session)[version.id])


def _aliases(session: Session) -> Mapping[int | None, list[str]]:
    """Return the aliases of each version that has any."""
    aliases: dict[int | None, list[str]] = defaultdict(list)
    for row in session.execute(select(ModelAlias.alias, ModelAlias.version_id)):
        aliases[row.version_id].append(row.alias)
    return aliases


def _refuse_known(session: Session, manifest: Manifest, manifest_sha256: str) -> None:
    of_model = select(ModelVersion).where(ModelVersion.model == manifest.name)
    what = f"model {manifest.name}"
    same = session.scalar(of_model.where(ModelVersion.manifest_sha256 == manifest_sha256))
    if same is not None:
        raise Conflict(f"{what} has this very manifest as version {same.version} already")
    if session.scalar(of_model.where(ModelVersion.version == manifest.version).limit(1)) is not None:
        raise Conflict(f"{what} has another version {manifest.version} already; give this one another name")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MOST_TAGS:
        raise ValidationFailed((FieldError("tags", f"a version may have {MOST_TAGS} at most"),))
    wrong = tuple(
        FieldError(f"tags.{name[:MOST_TAG]}", f"name and value must have 1 to {MOST_TAG} printable characters")
        for name, value in tags.items()
        if not all(words and len(words) <= MOST_TAG and words.isprintable() for words in (name, value))
    )
    if wrong:
        raise ValidationFailed(wrong)
