"""Commands of the `flask` program."""

import click
from flask import Flask

from backend.domains.catalog import domains


def init_cli(app: Flask) -> None:
    """Add the commands."""

    @app.cli.command("seed")
    @click.option("--donors", type=click.IntRange(min=1), default=2_000, show_default=True)
    @click.option("--seed", type=int, default=1, show_default=True, help="The same number gives the same data.")
    def _seed(donors: int, seed: int) -> None:
        """Fill an empty database with simulated data."""
        for domain in domains():
            if domain.seed is not None:
                click.echo(domain.seed(donors=donors, seed=seed, progress=_report))


def _report(fraction: float, note: str) -> None:
    click.echo(f"  {fraction:4.0%} {note}", err=True)
