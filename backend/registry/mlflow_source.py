"""Versions that MLflow's model registry keeps: those whose artifacts hold a manifest of ours are taken over.

MLflow knows neither the units of columns nor golden rows, so a model that was logged without a manifest is refused.
Where MLflow is and who may ask it, its own variables say: MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI,
MLFLOW_TRACKING_TOKEN and so on.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Final

from pydantic import ValidationError

from backend.errors import InputError, NotFound, RefusedArtifact, SettingsError, Unavailable
from backend.inference.manifest import MANIFEST, Manifest
from backend.inference.trust import SIGNATURE
from backend.registry.intake import register_folder, workplace
from backend.registry.packages import too_large
from backend.registry.registry import Registry
from backend.registry.views import VersionView

SCHEME: Final = "models:/"
NO_SUCH: Final = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # the latter for an alias
HOW: Final = (
    "write the version with backend.inference.manifest.write_version, which asks for columns, units and golden rows,"
    " and log its folder: mlflow.log_artifacts(folder, artifact_path='model')"
)


def import_mlflow(
    registry: Registry, uri: str, *, by: str, tags: Mapping[str, str], at: datetime, threads: int
) -> VersionView:
    """Register what `models:/<name>/<version>` or `models:/<name>@<alias>` names in MLflow.

    Its source is the version's URI, also if an alias was given: aliases move.

    Raises:
        InputError: `uri` is neither.
        SettingsError: MLflow's library is not installed.
        NotFound: MLflow has no such version.
        TooLarge, RefusedArtifact, Conflict, ValidationFailed, Unavailable: as `register_folder`, and if MLflow
            does not answer.
    """
    mlflow = _library()
    with _answering(mlflow, uri):
        exact = _exact(mlflow, uri)
    with workplace(registry) as place:
        folder = place / "files"
        folder.mkdir()
        with _answering(mlflow, uri):
            _download(mlflow, exact, folder, max_bytes=registry.max_bytes)
        return register_folder(registry, folder, by=by, source=exact, tags=tags, at=at, threads=threads)


def _library() -> ModuleType:
    # It reports its use to its makers, which has no place beside health data.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    try:
        import mlflow.artifacts  # noqa: PLC0415 - optional, and it takes seconds
    except ImportError as error:
        raise SettingsError("models:/ needs MLflow's client; pip install -r requirements-mlflow.txt") from error
    return mlflow


def _exact(mlflow: ModuleType, uri: str) -> str:
    """Return the URI of the version that `uri` names now."""
    named = re.fullmatch(rf"{SCHEME}([^/@]+)(?:/(\d+)|@([^/@]+))", uri)
    if named is None:
        raise InputError(f"{uri[:200]!r} names no version; write models:/<name>/<version> or models:/<name>@<alias>")
    name, version, alias = named.groups()
    client = mlflow.MlflowClient()
    found = client.get_model_version(name, version) if version else client.get_model_version_by_alias(name, alias)
    return f"{SCHEME}{name}/{found.version}"


def _download(mlflow: ModuleType, uri: str, folder: Path, *, max_bytes: int) -> None:
    """Download the manifest of a version, its signature and what it lists; MLflow's own files stay there."""
    sizes = {found.path: found.file_size or 0 for found in mlflow.artifacts.list_artifacts(artifact_uri=uri)}
    if MANIFEST not in sizes:
        raise RefusedArtifact(f"{uri} has no {MANIFEST} in its folder of artifacts; {HOW}")
    _fetch(mlflow, uri, folder, MANIFEST)
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as error:
        raise RefusedArtifact(f"{uri}: {MANIFEST} is not that of a version; {HOW}") from error
    wanted = sizes.keys() & {SIGNATURE, *manifest.files}
    if sum(sizes[name] for name in wanted) > max_bytes:
        raise too_large(max_bytes)
    for name in sorted(wanted):
        _fetch(mlflow, uri, folder, name)


def _fetch(mlflow: ModuleType, uri: str, folder: Path, name: str) -> None:
    mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/{name}", dst_path=str(folder))


@contextmanager
def _answering(mlflow: ModuleType, uri: str) -> Iterator[None]:
    """Say of an error of MLflow's what it means."""
    try:
        yield
    except mlflow.MlflowException as error:
        if error.error_code in NO_SUCH:
            raise NotFound("version in MLflow", uri) from error
        raise Unavailable(
            f"MLflow does not answer about {uri} ({error.error_code}); see MLFLOW_TRACKING_URI"
        ) from error
    except OSError as error:  # where its artifacts are, rather than MLflow itself
        raise Unavailable(f"the artifacts of {uri} cannot be read ({type(error).__name__})") from error
