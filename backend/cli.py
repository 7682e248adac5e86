"""Commands of the `flask` program."""

import click
from flask import Flask
from flask_migrate import upgrade
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from backend.domains.catalog import domains
from backend.registry.commands import init_commands


def init_cli(app: Flask) -> None:
    """Add the commands."""
    init_commands(app.cli)

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


def _progress_bar() -> Progress:
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)
