"""What the protocol's clients ask before they infer."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from backend.api import health
from backend.errors import Unavailable
from tests.unit.api.v2.protocol import LIVE, MODEL, MODEL_READY, SERVER, an_object, conforms, refused

SERVER_READY = an_object({"ready": {"type": "boolean"}})


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_says_what_it_is(client: FlaskClient, path):
    server = conforms(client.get(path), SERVER)
    assert server["name"] == "sanguine"
    assert server["extensions"] == ["binary_tensor_data", "model_repository"]


def test_it_lives(client: FlaskClient):
    assert conforms(client.get("/v2/health/live"), LIVE) == {"live": True}


def test_it_is_ready_when_the_installation_is(client: FlaskClient, monkeypatch):
    assert conforms(client.get("/v2/health/ready"), SERVER_READY) == {"ready": True}

    def away():
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(health, "count_unfinished", away)
    answer = client.get("/v2/health/ready")
    assert conforms(answer, SERVER_READY, status=503) == {"ready": False}
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("path", ["/v2/models/adder", "/v2/models/adder/versions/7"])
def test_a_model_is_described_column_by_column(client: FlaskClient, path):
    model = conforms(client.get(path), MODEL)
    assert model == {
        "name": "adder",
        "versions": ["7"],
        "platform": "sum",
        "inputs": [
            {"name": "a", "datatype": "FP64", "shape": [-1]},
            {"name": "b", "datatype": "FP64", "shape": [-1]},
            {"name": "count", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
    }


def test_an_inference_made_from_the_description_is_answered(client: FlaskClient):
    model = conforms(client.get("/v2/models/adder"), MODEL)
    inputs = [one | {"shape": [2], "data": [1, 2]} for one in model["inputs"]]
    answer = client.post("/v2/models/adder/infer", json={"inputs": inputs, "outputs": [{"name": "predict"}]})
    assert answer.json["outputs"][0]["data"] == [3.5, 6.5]


@pytest.mark.parametrize("path", ["/v2/models/adder/ready", "/v2/models/adder/versions/7/ready"])
def test_a_model_that_can_be_loaded_is_ready(client: FlaskClient, path):
    assert conforms(client.get(path), MODEL_READY) == {"name": "adder", "ready": True}


def test_a_model_that_cannot_be_loaded_is_not(client: FlaskClient, write: Callable[..., None]):
    write("broken", weights="9.5")  # which is not what its golden rows say
    assert conforms(client.get("/v2/models/broken/ready"), MODEL_READY, status=503) == {
        "name": "broken",
        "ready": False,
    }
    refused(client.get("/v2/models/broken"), 503, "bad_artifact")


@pytest.mark.parametrize("path", ["/v2/models/nobody", "/v2/models/adder/versions/6", "/v2/models/nobody/ready"])
def test_what_is_not_there_is_not_found(client: FlaskClient, path):
    refused(client.get(path), 404, "not_found")


def test_paths_and_methods_that_there_are_not_are_refused_in_the_protocols_form(client: FlaskClient):
    refused(client.get("/v2/models/adder/config"), 404, "not_found")
    answer = client.get("/v2/models/adder/infer")
    refused(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_the_rest_of_the_api_keeps_its_problems(client: FlaskClient):
    assert client.get("/api/ml/nothing").content_type == "application/problem+json"
    assert client.get("/v2nothing").content_type == "application/problem+json"


def test_nobody_can_say_what_is_served_without_a_database(app: Flask, monkeypatch):
    def away(**_):
        raise OperationalError("SELECT", {}, Exception("away"))

    monkeypatch.setattr("backend.registry.live.transaction", away)
    answer = app.test_client().get("/v2/models/adder")
    refused(answer, 503, "unavailable")
    assert answer.headers["Retry-After"]
