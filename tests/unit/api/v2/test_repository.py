"""The model repository extension: what there is, and decisions about what is served."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from backend.extensions import transaction
from backend.registry import service
from backend.registry.checked import Checked
from backend.registry.tables import LedgerEntry
from tests.unit.api.v2.protocol import INDEX, MODEL_READY, conforms, refused

LOAD, UNLOAD = "/v2/repository/models/adder/load", "/v2/repository/models/adder/unload"
INFER = "/v2/models/adder/infer"
ROW = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}]}


@pytest.fixture(autouse=True)
def _no_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that checks a version does not know the runtime of these tests."""
    monkeypatch.setattr(service, "_check", lambda _version: Checked(memory_bytes=1, load_seconds=0.0))


def index(client: FlaskClient, **body):
    return conforms(client.post("/v2/repository/index", json=body or None), INDEX)


def test_the_index_says_of_each_model_whether_it_can_be_asked(client: FlaskClient, write: Callable[..., None]):
    write("broken", weights="")
    client.get("/v2/models/broken/ready")
    adder, broken = index(client)
    assert adder == {"name": "adder", "version": "7", "state": "READY", "reason": ""}
    assert (broken["state"], broken["version"]) == ("UNAVAILABLE", "7")
    assert "empty weights" in broken["reason"]
    assert index(client, ready=True) == [adder]


def test_a_body_of_the_index_that_is_none_is_refused(client: FlaskClient):
    refused(client.post("/v2/repository/index", json={"ready": "yes"}), 422, "validation_failed")


def test_a_model_that_was_unloaded_is_not_served_until_it_is_loaded(client: FlaskClient):
    assert client.post(INFER, json=ROW).status_code == 200
    assert client.post(UNLOAD, json={"parameters": {"unload_dependents": False}}).status_code == 200
    assert "was unloaded" in refused(client.post(INFER, json=ROW), 404, "not_found")
    assert "was unloaded" in refused(client.get("/v2/models/adder/ready"), 404, "not_found")
    (adder,) = index(client)
    assert adder["state"] == "UNAVAILABLE"
    assert client.post(LOAD, data=b"").json["name"] == "adder"
    assert conforms(client.get("/v2/models/adder/ready"), MODEL_READY)["ready"]
    assert client.post(INFER, json=ROW).json["outputs"][0]["data"] == [6.5]


def test_loading_a_model_that_is_served_loads_it_anew_and_is_written_down(client: FlaskClient):
    assert client.post(INFER, json=ROW).status_code == 200
    again = client.post(LOAD, json={})
    assert again.status_code == 200, again.text
    with transaction(read_only=True) as session:
        last = session.scalars(select(LedgerEntry).order_by(LedgerEntry.seq.desc())).first()
    assert (last.action, last.model, last.by) == ("reloaded", "adder", "development")


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
def test_decisions_about_models_that_there_are_not_are_refused(client: FlaskClient, path):
    refused(client.post(path.replace("adder", "nobody")), 404, "not_found")


def test_unloading_twice_is_a_conflict(client: FlaskClient):
    client.post(UNLOAD)
    refused(client.post(UNLOAD), 409, "conflict")


def test_a_model_cannot_be_loaded_with_files_of_the_client(client: FlaskClient):
    body = {"parameters": {"config": "{}", "file:1/model.txt": "AAAA"}}
    assert "parameters" in refused(client.post(LOAD, json=body), 422, "validation_failed")
