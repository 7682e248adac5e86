"""Decisions about models, made with what the current application has: the same for every API that offers them."""

from collections.abc import Iterable
from typing import cast

from backend.clock import utc_now
from backend.errors import ArtifactError, RefusedArtifact
from backend.extensions import current, transaction
from backend.inference.compiled import can_compile
from backend.jobs.submit import submit
from backend.registry import lifecycle
from backend.registry.candidate import check_version
from backend.registry.checked import Checked
from backend.registry.compile_job import COMPILE_MODEL, CompileRequest
from backend.registry.hints import Hints
from backend.registry.intake import register_upload
from backend.registry.registry import current_registry
from backend.registry.rollout import Rollout, await_rollout
from backend.registry.states import Alias
from backend.registry.tables import ModelAlias, ModelVersion
from backend.registry.views import VersionView
from backend.settings import Settings

CONVERGE_SECONDS = 5.0  # processes look every half second; a large model takes as long as it takes to load


def do_register(chunks: Iterable[bytes], *, by: str) -> VersionView:
    """Register the version that a zip holds, and have it compiled if that can be; see `intake.register_upload`."""
    made = register_upload(current_registry(), chunks, by=by, tags={}, at=utc_now(), threads=_threads())
    if can_compile(made.runtime):
        submit(COMPILE_MODEL, CompileRequest(model=made.model, version=made.version))
    return made


def do_stage(model: str, version: str, *, by: str, reason: str) -> None:
    """Let staging name a version; see `lifecycle.promote`."""
    lifecycle.promote(
        current_registry(),
        model=model,
        version=version,
        alias=Alias.STAGING,
        by=by,
        reason=reason,
        check=_check,
        hints=_hints(),
    )


def do_promote(model: str, version: str, *, by: str, reason: str) -> Rollout:
    """Let production name a version, and wait a while for the processes; see `lifecycle.promote`."""
    lifecycle.promote(
        current_registry(),
        model=model,
        version=version,
        alias=Alias.PRODUCTION,
        by=by,
        reason=reason,
        check=_check,
        hints=_hints(),
    )
    return _rolled_out(model)


def do_rollback(model: str, *, by: str, reason: str) -> Rollout:
    """Let production name what it named before, and wait a while for the processes; see `lifecycle.rollback`."""
    lifecycle.rollback(current_registry(), model=model, by=by, reason=reason, check=_check, hints=_hints())
    return _rolled_out(model)


def do_reload(model: str, *, by: str, reason: str) -> Rollout:
    """Let every process load the production version anew, and wait a while for them; see `lifecycle.reload`."""
    lifecycle.reload(current_registry(), model=model, by=by, reason=reason, check=_check, hints=_hints())
    return _rolled_out(model)


def do_unload(model: str, *, by: str, reason: str) -> Rollout:
    """Let no version of a model be served, and wait a while for the processes; see `lifecycle.unload`."""
    lifecycle.unload(current_registry(), model=model, by=by, reason=reason, hints=_hints())
    return _rolled_out(model)


def do_load(model: str, *, by: str, reason: str) -> Rollout:
    """Let a model be served: its production version anew, or the one that was unloaded again.

    Raises:
        NotFound, Conflict, InputError: as `lifecycle.reload` and `lifecycle.rollback`.
    """
    decide = do_rollback if _is_unloaded(model) else do_reload
    return decide(model, by=by, reason=reason)


def _rolled_out(model: str) -> Rollout:
    return await_rollout(current_registry(), model, seconds=CONVERGE_SECONDS)


def _check(version: ModelVersion) -> Checked:
    """Load a version in a process of its own.

    Raises:
        RefusedArtifact: it cannot be served.
    """
    try:
        return check_version(current_registry(), version, threads=_threads())
    except ArtifactError as error:
        raise RefusedArtifact(str(error)) from error


def _is_unloaded(model: str) -> bool:
    with transaction(read_only=True) as session:
        row = session.get(ModelAlias, (model, Alias.PRODUCTION.value))
        return row is not None and row.version_id is None and row.generation > 0


def _threads() -> int:
    return cast("Settings", current("settings")).model_threads


def _hints() -> Hints:
    return cast("Hints", current("hints"))
