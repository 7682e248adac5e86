"""`flask keys …` and `flask accounts …`: who may come in, decided by whoever sits at the server.

A new key is all that is written to standard output: what is said of it goes to standard error.
"""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Final

import click
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from backend.clock import utc_now
from backend.errors import Conflict, SanguineError
from backend.security import accounts, key_management
from backend.security.password_command import password_command
from backend.security.permissions import Permission, Role
from backend.security.schemas import AccountView, KeyView, KeyWithText


def _written_out(value: object) -> object:
    if isinstance(value, str) and not value.startswith("P"):
        raise ValueError("a number would be taken for seconds")
    return value


_DURATION: TypeAdapter[timedelta] = TypeAdapter(Annotated[timedelta, BeforeValidator(_written_out)])
_ROLE: Final = click.Choice([str(role) for role in Role])


class Duration(click.ParamType[timedelta]):
    """A duration as in ISO 8601, such as P90D or PT24H."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration that a text says."""
        try:
            return _DURATION.validate_python(value)
        except ValidationError:
            says = "is no duration; write 90 days as P90D, 24 hours as PT24H"
            raise click.BadParameter(says, ctx=ctx, param=param) from None


@click.group("keys")
def keys() -> None:
    """Make and end API keys: what programs show to be let in."""


@click.group("accounts")
def account_commands() -> None:
    """Make and change accounts: persons and programs, each with a role."""


def init_account_commands(cli: click.Group) -> None:
    """Add the commands to those of an application: its `cli`."""
    account_commands.add_command(password_command)
    cli.add_command(keys)
    cli.add_command(account_commands)


@keys.command("create")
@click.option("--account", required=True, help="Whose key it is.")
@click.option("--role", type=_ROLE, help="Make the account, with this role, if there is none.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([str(permission) for permission in Permission]),
    help="Allow this and not all that the role does; may be given several times.",
)
@click.option("--expires", type=Duration(), help="After how long, such as P90D; without it, never.")
def _create_key(account: str, role: str | None, only: tuple[str, ...], expires: timedelta | None) -> None:
    """Make a key and print it: it is shown here only."""
    now, by = utc_now(), _actor()
    with _told():
        if role is not None:
            _ensure(account, Role(role), by=by, at=now)
        made = key_management.create_key(
            account,
            permissions=[Permission(one) for one in only] or None,
            expires_at=None if expires is None else _after(now, expires),
            by=by,
            at=now,
        )
    _show_once(made)


@keys.command("list")
@click.option("--account", help="Only the keys of this account.")
def _list_keys(account: str | None) -> None:
    """List the keys, also revoked ones, without their secrets."""
    now = utc_now()
    with _told():
        for one in key_management.list_keys(account).keys:
            allowed = ",".join(one.permissions) if one.permissions is not None else "all of its role"
            used = f"last used {_minute(one.last_used_at)}" if one.last_used_at else "never used"
            click.echo(f"{one.id}  {one.account}  {_state_of(one, now)}  {allowed}  {used}")


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=Duration(),
    default=key_management.OVERLAP,
    help="How long the old one stays valid; a day if not given.",
)
def _rotate(key_id: str, overlap: timedelta) -> None:
    """Make a key in place of ID and print it: it is shown here only."""
    with _told():
        made = key_management.rotate(key_id, overlap=overlap, by=_actor(), at=utc_now())
    _show_once(made)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
def _revoke(key_id: str) -> None:
    """Make the key ID useless for good."""
    with _told():
        key_management.revoke(key_id, at=utc_now())
    click.echo(f"the key {key_id} is revoked")


@keys.command("first")
def _first() -> None:
    """Make the account admin with a key, and print it, if there is no account yet."""
    with _told():
        text = key_management.first_admin_key(utc_now())
    if text is None:
        click.echo("there are accounts already; flask keys create makes keys for them", err=True)
    else:
        click.echo(f"a key of the account {key_management.FIRST}, shown here only:", err=True)
        click.echo(text)


@account_commands.command("list")
def _list_accounts() -> None:
    """List the accounts."""
    with _told():
        for one in accounts.list_accounts().accounts:
            _show_account(one)


@account_commands.command("create")
@click.argument("name")
@click.argument("role", type=_ROLE)
def _create_account(name: str, role: str) -> None:
    """Make the account NAME."""
    with _told():
        _show_account(accounts.create_account(name, Role(role), by=_actor(), at=utc_now()))


@account_commands.command("role")
@click.argument("name")
@click.argument("role", type=_ROLE)
def _set_role(name: str, role: str) -> None:
    """Give the account NAME another role; it counts from its next request."""
    with _told():
        _show_account(accounts.set_role(name, Role(role), at=utc_now()))


@account_commands.command("disable")
@click.argument("name")
def _disable(name: str) -> None:
    """Let the account NAME in no more: its keys are revoked, its logins end."""
    with _told():
        _show_account(accounts.disable(name, at=utc_now()))


@account_commands.command("enable")
@click.argument("name")
def _enable(name: str) -> None:
    """Let the account NAME in again; it needs new keys."""
    with _told():
        _show_account(accounts.enable(name, at=utc_now()))


def _ensure(name: str, role: Role, *, by: str, at: datetime) -> None:
    """See that there is an account of this name, with this role."""
    try:
        accounts.create_account(name, role, by=by, at=at)
    except Conflict:
        found = accounts.get_account(name).role
        if found is not role:
            raise Conflict(f"the account {name} is there already, as {found}; leave --role out") from None


def _after(now: datetime, duration: timedelta) -> datetime:
    try:
        return now + duration
    except OverflowError:
        raise click.BadParameter("is longer than calendars go", param_hint="--expires") from None


def _actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the users of containers often have no name; OSError from Python 3.13
        user = f"uid {os.getuid()}"
    return f"command line ({user})"[:64]


def _show_once(made: KeyWithText) -> None:
    until = f"until {_minute(made.expires_at)}" if made.expires_at else "until it is revoked"
    click.echo(f"the key {made.id} of the account {made.account}, valid {until}, shown here only:", err=True)
    click.echo(made.key)


def _show_account(one: AccountView) -> None:
    state = f"disabled {_minute(one.disabled_at)}" if one.disabled_at else "enabled"
    click.echo(f"{one.name}  {one.role}  {state}  {_minute(one.created_at)} by {one.created_by}")


def _state_of(one: KeyView, now: datetime) -> str:
    if one.revoked_at is not None:
        return f"revoked {_minute(one.revoked_at)}"
    if one.expires_at is None:
        return "valid"
    return f"{'expired' if one.expires_at <= now else 'expires'} {_minute(one.expires_at)}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


@contextmanager
def _told() -> Iterator[None]:
    """Show what went wrong as a message, and exit with 1."""
    try:
        yield
    except SanguineError as error:
        raise click.ClickException(str(error)) from error
