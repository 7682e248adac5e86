"""The command that registers a version from this machine, or from MLflow."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click

from backend.clock import utc_now
from backend.errors import InputError, SanguineError
from backend.extensions import current
from backend.registry.intake import register_folder, register_upload
from backend.registry.mlflow_source import SCHEME, import_mlflow
from backend.registry.packages import CHUNK
from backend.registry.registry import current_registry
from backend.registry.views import VersionView
from backend.settings import Settings


@click.command("import")
@click.argument("source")
@click.option("--by", required=True, help="Who registers it.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="As often as needed.")
def import_version(source: str, by: str, tags: tuple[str, ...]) -> None:
    """Register the version in SOURCE: a folder, a zip, models:/<name>/<version> or models:/<name>@<alias>."""
    try:
        registered = _register(source, by=by, tags=dict(map(_name_and_value, tags)))
    except SanguineError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"registered version {registered.version} of {registered.model} from {registered.source}")


def _register(source: str, *, by: str, tags: dict[str, str]) -> VersionView:
    settings = cast("Settings", current("settings"))
    registry, at, threads = current_registry(), utc_now(), settings.model_threads
    if source.startswith(SCHEME):
        return import_mlflow(registry, source, by=by, tags=tags, at=at, threads=threads)
    path = Path(source).resolve()
    said = path.as_uri()
    if path.is_file():
        return register_upload(registry, _chunks(path), by=by, tags=tags, at=at, threads=threads, source=said)
    return register_folder(registry, path, by=by, source=said, tags=tags, at=at, threads=threads)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _name_and_value(tag: str) -> tuple[str, str]:
    name, equals, value = tag.partition("=")
    if not equals:
        raise InputError(f"--tag {tag} is no NAME=VALUE")
    return name, value
