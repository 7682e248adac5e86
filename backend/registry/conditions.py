"""What must hold before production names another version."""

import unicodedata

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.errors import Conflict, InputError
from backend.inference.manifest import Manifest
from backend.registry.registry import Registry
from backend.registry.states import Alias
from backend.registry.tables import ModelAlias, ModelVersion

_MB = 1 << 20


def require_kept(version: ModelVersion) -> None:
    """Refuse an archived version.

    Raises:
        Conflict: it is.
    """
    if version.archived_at is not None:
        raise Conflict(f"version {version.version} of model {version.model} is archived; restore it first")


def require_second_person(registry: Registry, version: ModelVersion, *, by: str) -> None:
    """Refuse a promotion by whoever registered the version; who releases the software is nobody of this installation.

    Raises:
        Conflict: it is the same person, and this installation asks for two.
    """
    if registry.two_persons and not version.shipped and _person(by) == _person(version.registered_by):
        raise Conflict(
            f"{version.registered_by} registered version {version.version} of model {version.model};"
            " somebody else must promote it to production"
        )


def require_same_columns(version: ModelVersion, replaced: ModelVersion | None) -> None:
    """Refuse a version that callers of the one before would have to call with other rows.

    Raises:
        InputError: names, order or types of the columns differ; the message says how.
    """
    difference = None if replaced is None else _difference(_columns(replaced), _columns(version))
    if replaced is not None and difference is not None:
        raise InputError(
            f"version {version.version} of model {version.model} takes other columns than {replaced.version},"
            f" which is production: {difference}. Unload the model first if its callers know the new ones"
        )


def require_memory(session: Session, registry: Registry, version: ModelVersion, *, memory_bytes: int) -> None:
    """Refuse a version that does not fit into a process beside all that production names, its own model among them.

    Raises:
        Conflict: together they need more than this installation allows.
    """
    if registry.memory_bytes is None:
        return
    named = select(func.coalesce(func.sum(ModelVersion.memory_bytes), 0)).join(
        ModelAlias, ModelAlias.version_id == ModelVersion.id
    )
    in_use = int(session.scalar(named.where(ModelAlias.alias == Alias.PRODUCTION)) or 0)
    if in_use + memory_bytes > registry.memory_bytes:
        raise Conflict(
            f"version {version.version} of model {version.model} needs {_mb(memory_bytes)} MB beside the"
            f" {_mb(in_use)} MB of what is production now; together they may take {_mb(registry.memory_bytes)} MB"
            " (SANGUINE_MODEL_MEMORY_MB). Unload a model, or allow more"
        )


def _person(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _columns(version: ModelVersion) -> dict[str, str]:
    return {column.name: column.dtype for column in Manifest.model_validate(version.manifest).columns}


def _difference(before: dict[str, str], after: dict[str, str]) -> str | None:
    problems = {
        "missing": [name for name in before if name not in after],
        "new": [name for name in after if name not in before],
        "of another type": [
            f"{name} ({before[name]} became {after[name]})"
            for name in before
            if name in after and before[name] != after[name]
        ],
    }
    found = [f"{problem}: {', '.join(which)}" for problem, which in problems.items() if which]
    if found:
        return "; ".join(found)
    return None if list(before) == list(after) else f"in another order: {', '.join(after)}"


def _mb(count: int) -> int:
    return -(-count // _MB)
