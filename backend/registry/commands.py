"""`flask models …`: what there is, what was live, whether the ledger is whole, and decisions without the API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click
from pydantic import TypeAdapter, ValidationError

from backend.clock import utc_now
from backend.errors import SanguineError, wrong_fields
from backend.extensions import transaction
from backend.jobs.moments import Moment
from backend.registry import ledger, service, versions
from backend.registry.import_command import import_version
from backend.registry.rollout import Rollout
from backend.registry.signing_commands import sign_version, write_keys

Command = TypeVar("Command", bound=Callable[..., Any])

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@click.group("models")
def models() -> None:
    """Versions of models, and what was decided about them."""


def init_commands(cli: click.Group) -> None:
    """Add the commands to those of an application: its `cli`."""
    cli.add_command(models)


for _command in (import_version, write_keys, sign_version):
    models.add_command(_command)


def _decision(command: Command) -> Command:
    command = click.option("--reason", required=True, help="Why; it stays in the ledger.")(command)
    return click.option("--by", required=True, help="Who decides.")(command)


@models.command("list")
@click.argument("model", required=False)
def _list(model: str | None) -> None:
    """List the versions of MODEL, or of all models."""
    with _told():
        for one in versions.list_versions(model):
            registered = f"{one.registered_at:%Y-%m-%d %H:%M} by {one.registered_by}"
            click.echo(f"{one.model}  {one.version}  {one.state}  {one.manifest_sha256[:12]}  {registered}")


@models.command("verify")
def _verify() -> None:
    """Read the whole ledger; exit with 1 if anything of it was changed, removed, inserted or put elsewhere."""
    with _told(), transaction(read_only=True) as session:
        found = ledger.verify(session)
    if found.first_fault is not None:
        raise click.ClickException(f"entry {found.first_fault.seq} of the ledger: {found.first_fault.reason}")
    click.echo(f"{found.entries} entries are as they were written; the last has the hash {found.head}")


@models.command("live-at")
@click.argument("model")
@click.argument("time")
def _live_at(model: str, time: str) -> None:
    """Say what was production of MODEL at TIME, such as 2026-03-01T10:30:00+05:30."""
    try:
        at = _MOMENT.validate_python(time)
    except ValidationError as error:
        raise click.BadParameter(wrong_fields(error)[0].reason, param_hint="TIME") from None
    with _told(), transaction(read_only=True) as session:
        live = ledger.live_at(session, model, at)
    if live is None:
        click.echo(f"nothing had been decided about {model}")
    else:
        what = f"version {live.version} ({live.manifest_sha256})" if live.version else "no version"
        click.echo(f"{what}, {live.action} by {live.by} at {live.since.isoformat()}: {live.reason}")


@models.command("promote")
@click.argument("model")
@click.argument("version")
@_decision
def _promote(model: str, version: str, by: str, reason: str) -> None:
    """Load VERSION of MODEL in a process of its own, and make it production."""
    with _told():
        _show(service.do_promote(model, version, by=by, reason=reason))


@models.command("rollback")
@click.argument("model")
@_decision
def _rollback(model: str, by: str, reason: str) -> None:
    """Make that version production which was production of MODEL before."""
    with _told():
        _show(service.do_rollback(model, by=by, reason=reason))


@models.command("archive")
@click.argument("model")
@click.argument("version")
@_decision
def _archive(model: str, version: str, by: str, reason: str) -> None:
    """Put VERSION of MODEL away, so that nobody can promote it."""
    with _told():
        versions.archive(model=model, version=version, by=by, reason=reason, at=utc_now())
    click.echo(f"version {version} of model {model} is archived")


def _show(rollout: Rollout) -> None:
    what = f"version {rollout.version} of model {rollout.model} is production, generation {rollout.generation}"
    click.echo(f"{what}; processes: {rollout.summary}")


@contextmanager
def _told() -> Iterator[None]:
    """Show what went wrong as a message, and exit with 1."""
    try:
        yield
    except SanguineError as error:
        raise click.ClickException(str(error)) from error
