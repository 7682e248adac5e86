"""Model versions over HTTP."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.errors import ArtifactError
from backend.registry import intake, service
from backend.registry.checked import Checked
from tests.unit.inference.conftest import write_sum

MODELS = "/api/ml/models"
ADDER = f"{MODELS}/adder"


@pytest.fixture
def client(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A service with the model `adder`, which needs no process of its own to be tried out."""
    write_sum(tmp_path / "models", "adder")
    for module, name in ((service, "check_version"), (intake, "check_folder")):
        monkeypatch.setattr(module, name, lambda *_, **__: Checked(memory_bytes=1 << 20, load_seconds=0.1))
    return app.test_client()


def packed(tmp_path: Path, version: str, *, name: str = "adder") -> bytes:
    folder = write_sum(tmp_path / "made", name, version=version, offset=float(version))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        for file in folder.iterdir():
            package.write(file, file.name)
    return out.getvalue()


def register(client: FlaskClient, content: bytes, *, by: str = "Asha", kind: str = "application/zip"):
    return client.post(f"{MODELS}/versions?by={by}", data=content, content_type=kind)


def decide(client: FlaskClient, what: str, *, by: str = "Bala", **more: str):
    return client.post(f"{ADDER}/{what}", json={"by": by, "reason": "it is better", **more})


def is_problem(response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json["detail"]


@pytest.fixture
def registered(client: FlaskClient, tmp_path: Path) -> FlaskClient:
    made = register(client, packed(tmp_path, "2"))
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == f"{ADDER}/versions/2"
    return client


def test_a_version_is_registered_and_listed(registered: FlaskClient):
    one = registered.get(f"{ADDER}/versions/2").json
    assert (one["state"], one["registered_by"], one["source"], one["shipped"]) == (
        "registered",
        "Asha",
        "upload",
        False,
    )
    assert [version["version"] for version in registered.get(f"{ADDER}/versions").json["versions"]] == ["2"]


def test_a_promotion_moves_production_and_shows_every_process(registered: FlaskClient):
    answer = decide(registered, "production", version="2")
    assert answer.status_code == 200, answer.text
    assert (answer.json["version"], answer.json["summary"]) == ("2", "0 of 0 converged")
    assert registered.get(f"{ADDER}/rollout").json == answer.json
    assert registered.get(f"{ADDER}/versions/2").json["state"] == "production"


def test_the_ledger_says_who_and_why_and_what_was_live(registered: FlaskClient):
    before = registered.get(f"{ADDER}/live")
    decide(registered, "production", version="2")
    promoted, *_, first = registered.get(f"{MODELS}/ledger?model=adder").json["entries"]
    assert (promoted["action"], promoted["by"], promoted["registered_by"]) == ("promoted", "Bala", "Asha")
    assert promoted["reason"] == "it is better"
    assert first["previous_hash"] == "0" * 64
    assert registered.get(f"{ADDER}/live").json["version"] == "2"
    at = {"at": promoted["at"]}
    assert registered.get(f"{ADDER}/live", query_string=at).json["by"] == "Bala"
    is_problem(before, 404, "not_found")
    verified = registered.get(f"{MODELS}/ledger/verification").json
    assert (verified["first_fault"], verified["head"]) == (None, promoted["hash"])


def test_the_ledger_is_read_by_pages(registered: FlaskClient):
    decide(registered, "production", version="2")
    first = registered.get(f"{MODELS}/ledger?limit=1").json
    rest = registered.get(f"{MODELS}/ledger?before_seq={first['next_before_seq']}").json
    assert [entry["seq"] for entry in first["entries"] + rest["entries"]] == [4, 3, 2, 1]
    assert rest["next_before_seq"] is None


def test_what_was_before_comes_back(registered: FlaskClient):
    decide(registered, "production", version="2")
    assert decide(registered, "rollback").json["version"] == "1"
    assert decide(registered, "unload").json["version"] is None
    assert decide(registered, "rollback").json["version"] == "1"
    assert decide(registered, "reload").json["generation"] == 6


def test_tags_staging_and_the_archive(registered: FlaskClient, tmp_path: Path):
    tagged = registered.patch(f"{ADDER}/versions/2", json={"by": "Asha", "tags": {"trial": "north"}})
    assert tagged.json["tags"] == {"trial": "north"}
    assert decide(registered, "staging", version="2").json["state"] == "staging"
    is_problem(decide(registered, "versions/2/archive"), 409, "conflict")
    assert register(registered, packed(tmp_path, "3")).status_code == 201
    assert decide(registered, "versions/3/archive").json["state"] == "archived"
    is_problem(decide(registered, "production", version="3"), 409, "conflict")
    assert decide(registered, "versions/3/restore").json["state"] == "registered"


def test_a_version_that_does_not_exist_is_not_found(registered: FlaskClient):
    is_problem(registered.get(f"{ADDER}/versions/9"), 404, "not_found")
    is_problem(decide(registered, "versions/9/archive"), 404, "not_found")
    is_problem(decide(registered, "production", version="9"), 404, "not_found")


@pytest.mark.parametrize("path", ["versions", "rollout", "live"])
def test_a_model_that_nobody_knows_is_not_found(client: FlaskClient, path: str):
    assert client.get(f"{MODELS}/nothing/{path}").status_code == 404


def test_who_registered_a_version_does_not_promote_it(registered: FlaskClient):
    assert "somebody else" in is_problem(decide(registered, "production", by="asha", version="2"), 409, "conflict")


def test_what_a_process_of_its_own_cannot_load_is_refused_and_stays_out(
    registered: FlaskClient, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_, **__):
        raise ArtifactError("loading it ended the process (SIGSEGV)")

    monkeypatch.setattr(service, "check_version", refuse)
    assert "SIGSEGV" in is_problem(decide(registered, "production", version="2"), 422, "artifact_refused")
    assert registered.get(f"{ADDER}/versions/2").json["state"] == "registered"
    assert registered.get(f"{ADDER}/live").json["version"] == "1"


def test_only_a_zip_is_taken_and_nobody_without_a_name(client: FlaskClient):
    is_problem(register(client, b"{}", kind="application/json"), 415, "unsupported_media_type")
    is_problem(register(client, b"PK"), 422, "artifact_refused")
    is_problem(decide(client, "reload", by=""), 422, "validation_failed")


def test_an_upload_that_is_too_large_is_refused(app: Flask, client: FlaskClient, tmp_path: Path):
    app.extensions["registry"] = replace(app.extensions["registry"], max_bytes=1_000)
    assert register(client, packed(tmp_path, "2")).status_code == 413
    assert client.get(f"{ADDER}/versions").json["versions"] == []
