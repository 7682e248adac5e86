"""`flask accounts password`: a password for an account, given by whoever sits at the server."""

import os
import sys

import click

from backend.clock import utc_now
from backend.errors import SanguineError
from backend.security.logins import set_password


@click.command("password")
@click.argument("name")
def password_command(name: str) -> None:
    """Give the account NAME a password; its logins end.

    It is asked for twice and not shown. Without a terminal it is one line of standard input.
    """
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        set_password(name, password, by=f"command line (uid {os.getuid()})", at=utc_now())
    except SanguineError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"the account {name} has a new password; whoever was logged in must log in again")
