"""Commands of the `flask` program."""

import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import click
from flask import Flask
from flask_migrate import upgrade
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from backend.clock import utc_now
from backend.domains.catalog import domains
from backend.errors import Conflict
from backend.registry.commands import init_commands
from backend.security import accounts, key_management
from backend.security.commands import init_account_commands
from backend.security.permissions import Permission, Role
from backend.security.schemas import SYSTEM

STACK: Final = "run.py"
"""The account in whose name `run.py` asks for a sample and the first forecasts."""
STACK_MAY: Final = (Permission.PREDICT, Permission.READ_FIGURES, Permission.OPERATE, Permission.SEE_ALL_JOBS)
STACK_KEY_LASTS: Final = timedelta(hours=2)


def init_cli(app: Flask) -> None:
    """Add the commands."""
    init_commands(app.cli)
    init_account_commands(app.cli)

    @app.cli.command("seed")
    @click.option("--donors", type=click.IntRange(min=1), default=2_000, show_default=True)
    @click.option("--seed", type=int, default=1, show_default=True, help="The same number gives the same data.")
    @click.option("--migrate", is_flag=True, help="Bring the tables up to date first.")
    def _seed(donors: int, seed: int, migrate: bool) -> None:  # noqa: FBT001 - click's way
        """Fill an empty database with simulated data."""
        if migrate:
            upgrade()
        with _progress_bar() as bar:
            task = bar.add_task("", total=1.0)

            def show(fraction: float, note: str) -> None:
                bar.update(task, completed=fraction, description=note)

            done = [domain.seed(donors=donors, seed=seed, progress=show) for domain in domains() if domain.seed]
        click.echo("\n".join(done))

    @app.cli.command("prepare")
    @click.option("--donors", type=click.IntRange(min=1), default=2_000, show_default=True)
    @click.pass_context
    def _prepare(context: click.Context, donors: int) -> None:
        """Do what `run.py` needs before it starts the API; the last line of the output is JSON with its keys."""
        context.invoke(_seed, donors=donors, seed=1, migrate=True)
        now = utc_now()
        first = key_management.first_admin_key(now)
        click.echo(json.dumps({"admin": first, "own": _stack_key(now)}))


def _stack_key(now: datetime) -> str:
    """Make the key that `run.py` shows to the API for its first jobs; those of earlier starts are over."""
    with suppress(Conflict):  # there is one since the first start
        accounts.create_account(STACK, Role.ADMIN, by=SYSTEM, at=now)
    for key in key_management.list_keys(STACK).keys:
        key_management.revoke(key.id, at=now)
    until = now + STACK_KEY_LASTS
    return key_management.create_key(STACK, permissions=STACK_MAY, expires_at=until, by=SYSTEM, at=now).key


def _progress_bar() -> Progress:
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)
