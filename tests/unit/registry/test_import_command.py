"""Registering a version from the command line."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from backend.registry import import_command, intake
from backend.registry.checked import Checked
from backend.registry.import_command import import_version
from backend.registry.versions import get_version
from tests.contract.versions import release_of


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "check_folder", lambda *_, **__: Checked(memory_bytes=1, load_seconds=0.1))


@pytest.fixture
def folder(app: Flask, tmp_path: Path) -> Path:
    release_of(tmp_path / "new", "adder", "2")
    return tmp_path / "new"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(import_version, [*map(str, arguments), "--by", "Ravi"])


def test_a_folder_is_registered_with_its_tags(folder: Path):
    told = run(folder, "--tag", "purpose=trial", "--tag", "note=a=b")
    assert told.output == f"registered version 2 of adder from {folder.as_uri()}\n"
    view = get_version("adder", "2")
    assert (view.tags, view.registered_by) == ({"purpose": "trial", "note": "a=b"}, "Ravi")


def test_a_zip_is_registered(folder: Path, tmp_path: Path):
    package = Path(shutil.make_archive(str(tmp_path / "adder"), "zip", folder))
    assert run(package).output == f"registered version 2 of adder from {package.as_uri()}\n"
    assert get_version("adder", "2").source == package.as_uri()


def test_what_is_a_uri_of_mlflow_is_asked_for_there(app: Flask, monkeypatch: pytest.MonkeyPatch, folder: Path):
    def take(registry: object, uri: str, **options: object) -> object:
        assert registry is app.extensions["registry"]
        return intake.register_folder(registry, folder, source=uri, **options)

    monkeypatch.setattr(import_command, "import_mlflow", take)
    assert run("models:/donors@champion").output == "registered version 2 of adder from models:/donors@champion\n"


def test_what_goes_wrong_is_a_message_and_exit_1(folder: Path, tmp_path: Path):
    for arguments, reason in (((tmp_path / "nowhere",), "no folder"), ((folder, "--tag", "x"), "no NAME=VALUE")):
        told = run(*arguments)
        assert (told.exit_code, reason in told.output) == (1, True)
