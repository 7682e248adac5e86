"""Versions from a real MLflow, which keeps its registry in a file of SQLite."""

import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType

import pytest
from flask import Flask

from backend.errors import InputError, NotFound, RefusedArtifact, SettingsError, TooLarge, Unavailable
from backend.inference.catalogue import read_artifact
from backend.inference.manifest import MANIFEST, CatalogueEntry, digest
from backend.registry.mlflow_source import import_mlflow
from backend.registry.registry import Registry, current_registry
from backend.registry.views import VersionView
from tests.contract.model_examples import onnx_example, release

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, when it makes its tables
]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """MLflow with two versions of the model `donors`: with our manifest (the champion), and without."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    root = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: PLC0415 - it warns when it is imported

        mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
        experiment = mlflow.create_experiment("donors", artifact_location=str(root / "artifacts"))
        folder = release(root / "models", onnx_example())
        (root / "bare").mkdir()
        (root / "bare" / "MLmodel").write_text("flavors: {onnx: {}}", encoding="utf-8")
        client = mlflow.MlflowClient()
        client.create_registered_model("donors")
        for logged in (folder, root / "bare"):
            with mlflow.start_run(experiment_id=experiment):
                mlflow.log_artifacts(str(logged), artifact_path="model")
                mlflow.log_text("flavors: {}", "model/conda.yaml")  # MLflow's own files lie beside ours
                client.create_model_version("donors", source=mlflow.get_artifact_uri("model"))
        client.set_registered_model_alias("donors", "champion", "1")
    mlflow.our_manifest = digest((folder / MANIFEST).read_bytes())
    yield mlflow
    mlflow.set_tracking_uri(None)


@pytest.fixture
def registry(app: Flask, mlflow: ModuleType) -> Registry:
    return current_registry()


def take(registry: Registry, uri: str) -> VersionView:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    return import_mlflow(registry, uri, by="Ravi", tags={}, at=at, threads=1)


@pytest.mark.parametrize("uri", ["models:/donors/1", "models:/donors@champion"])
def test_a_version_with_our_manifest_is_registered_with_the_version_it_came_from(registry, mlflow, uri: str):
    view = take(registry, uri)
    assert (view.model, view.source, view.manifest_sha256) == ("onnx_example", "models:/donors/1", mlflow.our_manifest)
    entry = CatalogueEntry(version="1", manifest_sha256=view.manifest_sha256)
    assert read_artifact(registry.store, "onnx_example", entry).weights == onnx_example().content
    assert list(registry.incoming.iterdir()) == []


def test_a_version_without_our_manifest_is_refused_with_what_to_do(registry: Registry):
    with pytest.raises(RefusedArtifact, match=r"has no manifest\.json .* columns, units and golden rows"):
        take(registry, "models:/donors/2")
    assert list(registry.incoming.iterdir()) == []


@pytest.mark.parametrize("uri", ["models:/donors/9", "models:/nobody/1", "models:/donors@nobody"])
def test_what_mlflow_does_not_have_is_not_found(registry: Registry, uri: str):
    with pytest.raises(NotFound, match="no version in MLflow"):
        take(registry, uri)


@pytest.mark.parametrize("uri", ["models:/donors", "models:/donors/latest", "runs:/1/model", "models:/a/1/../../b", ""])
def test_what_names_no_version_is_refused(registry: Registry, uri: str):
    with pytest.raises(InputError, match="names no version"):
        take(registry, uri)


def test_more_than_a_version_may_take_is_not_downloaded(registry: Registry):
    with pytest.raises(TooLarge):
        take(replace(registry, max_bytes=1_000), "models:/donors/1")


def test_an_mlflow_that_is_away_is_unavailable(registry, mlflow, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise mlflow.MlflowException("API request failed")

    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version", fail)
    with pytest.raises(Unavailable, match="MLflow does not answer about models:/donors/1"):
        take(registry, "models:/donors/1")


def test_a_missing_library_names_the_file_that_installs_it(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mlflow.artifacts", None)
    with pytest.raises(SettingsError, match=r"pip install -r requirements-mlflow\.txt"):
        take(registry, "models:/donors/1")
