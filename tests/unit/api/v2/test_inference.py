"""Inference over HTTP: what clients of the protocol send, and what they get."""

import json
from io import BytesIO

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import Client

from tests.accounts import headers_of
from tests.unit.api.v2.protocol import INFERENCE, conforms, refused
from tests.unit.inference.conftest import SumRuntime

INFER = "/v2/models/adder/infer"
LENGTH = "Inference-Header-Content-Length"
MATRIX = {"name": "input-0", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4.5, 5, 6]]}
COLUMNS = [
    {"name": "count", "shape": [2], "datatype": "INT64", "data": [3, 6]},
    {"name": "a", "shape": [2, 1], "datatype": "FP64", "data": [[1.0], [4.5]]},
    {"name": "b", "shape": [2], "datatype": "UINT8", "data": [2, 5]},
]
OUTPUTS = [6.5, 16.0]


@pytest.fixture(params=["fast lane", "Flask"])
def client(app: Flask, request: pytest.FixtureRequest):
    """The same requests in the fast lane, and without it."""
    if request.param == "Flask":
        app.wsgi_app = app.wsgi_app._next
    return app.test_client()


def infer(client: FlaskClient, *inputs, path: str = INFER, **more):
    return client.post(path, json={"inputs": inputs, **more})


@pytest.mark.parametrize("inputs", [[MATRIX], COLUMNS, [MATRIX | {"data": [1, 2, 3, 4.5, 5, 6]}]])
def test_rows_are_predicted_whether_as_a_matrix_or_by_column(client: FlaskClient, inputs):
    assert conforms(infer(client, *inputs), INFERENCE) == {
        "model_name": "adder",
        "model_version": "7",
        "outputs": [{"name": "predict", "shape": [2], "datatype": "FP64", "data": OUTPUTS}],
    }


def test_the_id_comes_back_and_what_the_protocol_leaves_open_is_left_aside(client: FlaskClient):
    sent = infer(client, MATRIX | {"parameters": {"content_type": "np"}}, id="42", parameters={"priority": 1}, extra=1)
    assert conforms(sent, INFERENCE)["id"] == "42"


def test_the_type_of_the_body_need_not_be_said(client: FlaskClient):
    conforms(client.post(INFER, data=json.dumps({"inputs": [MATRIX]})), INFERENCE)


def test_a_version_in_the_path_must_be_the_one_that_is_served(client: FlaskClient):
    assert conforms(infer(client, MATRIX, path="/v2/models/adder/versions/7/infer"), INFERENCE)["model_version"] == "7"
    other = infer(client, MATRIX, path="/v2/models/adder/versions/6/infer")
    assert refused(other, 404, "not_found") == "version 6 of the model adder is not served; 7 is"


def test_an_unknown_model_is_not_found(client: FlaskClient):
    assert "nobody" in refused(infer(client, MATRIX, path="/v2/models/nobody/infer"), 404, "not_found")


def test_no_rows_give_no_outputs(client: FlaskClient):
    (output,) = conforms(infer(client, MATRIX | {"shape": [0, 3], "data": []}), INFERENCE)["outputs"]
    assert (output["shape"], output["data"]) == ([0], [])


def test_null_is_missing_where_the_column_allows_it(client: FlaskClient):
    (output,) = conforms(infer(client, MATRIX | {"data": [None, 2, 3, 4.5, 5, 6]}), INFERENCE)["outputs"]
    assert output["data"] == [None, 16.0]  # the sum with a missing value is no number, which JSON cannot say
    whole = infer(client, MATRIX | {"data": [1, 2, None, 4, 5, 6]})
    assert refused(whole, 422, "validation_failed").startswith("inputs: column 'count' holds whole numbers")


@pytest.mark.parametrize("asked", [[], [{"name": "predict"}], [{"name": "predict", "parameters": {"binary_data": 0}}]])
def test_the_output_may_be_named(client: FlaskClient, asked):
    conforms(infer(client, MATRIX, outputs=asked), INFERENCE)


def test_an_output_that_there_is_not_is_refused(client: FlaskClient):
    sent = infer(client, MATRIX, outputs=[{"name": "predict"}, {"name": "variance"}])
    assert refused(sent, 422, "validation_failed") == "outputs.1.name: the model has no output but predict"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is not valid JSON: Expecting value"),
        (b'{"inputs": [', 400, "the body is not valid JSON"),
        (b"\xff", 400, "the body is not JSON in UTF-8"),
        (b"[" * 100_000, 400, "the body is not valid JSON: too many lists in lists"),
        (b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1, NaN, 1]}]}', 400, "NaN is not"),
        (b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1, 1e999, 1]}]}', 422, "infinite"),
        (b"[]", 422, "body: Input should be"),
        (b'{"inputs": []}', 422, "inputs: List should have at least 1 item"),
        (b'{"inputs": [{"name": "x"}]}', 422, "inputs.0.shape: Field required; inputs.0.datatype: Field required"),
        (b'{"inputs": [{"name": "x", "shape": [1.0, 3], "datatype": "FP64", "data": []}]}', 422, "inputs.0.shape.0: "),
        (b'{"inputs": [{"name": "x", "shape": [-1, 3], "datatype": "FP64", "data": []}]}', 422, "inputs.0.shape.0: "),
        (b'{"inputs": [{"name": "x", "shape": [1, 1, 3], "datatype": "FP64", "data": []}]}', 422, "inputs.0.shape: "),
    ],
)
def test_a_body_that_is_no_request_is_refused(client: FlaskClient, body, status, message):
    sent = client.post(INFER, data=body)
    assert message in refused(sent, status, "bad_request" if status == 400 else "validation_failed")


def test_a_body_that_is_too_large_or_compressed_is_refused(client: FlaskClient):
    assert "20,000,000 bytes" in refused(client.post(INFER, data=b" " * 20_000_001), 413, "body_too_large")
    packed = client.post(INFER, data=b"x", headers={"Content-Encoding": "gzip"})
    assert "compressed" in refused(packed, 415, "unsupported_media_type")


def test_ten_thousand_rows_are_the_most(client: FlaskClient):
    rows = 10_000
    matrix = {"name": "x", "shape": [rows, 3], "datatype": "FP64", "data": [1.0] * 3 * rows}
    (output,) = conforms(infer(client, matrix), INFERENCE)["outputs"]
    assert output["data"] == [3.5] * rows
    one_more = infer(client, matrix | {"shape": [rows + 1, 3]})
    assert "at most 10,000 rows" in refused(one_more, 422, "validation_failed")


def test_a_fault_of_the_server_says_nothing_of_itself(client: FlaskClient, app: Flask, monkeypatch):
    def fail(self, rows):
        raise RuntimeError("secret")

    conforms(infer(client, MATRIX), INFERENCE)
    monkeypatch.setattr(SumRuntime, "predict", fail)
    said = refused(infer(client, MATRIX), 500, "internal_error")
    assert "secret" not in said


def with_bytes(client: FlaskClient, *, parameters=None, outputs=(), length=None, behind=b""):
    values = np.array(MATRIX["data"], dtype="<f4").tobytes()
    tensor = {key: value for key, value in MATRIX.items() if key != "data"}
    body = {"inputs": [tensor | {"parameters": {"binary_data_size": len(values)}}], "parameters": parameters or {}}
    head = json.dumps(body | {"outputs": list(outputs)}).encode()
    headers = {LENGTH: str(len(head)) if length is None else length}
    return client.post(INFER, data=head + values + behind, headers=headers)


@pytest.mark.parametrize(
    ("parameters", "outputs"),
    [
        ({"binary_data_output": True}, []),
        ({"binary_data_output": True}, [{"name": "predict"}]),
        ({}, [{"name": "predict", "parameters": {"binary_data": True}}]),
    ],
)
def test_values_travel_as_bytes_if_the_client_likes(client: FlaskClient, parameters, outputs):
    sent = with_bytes(client, parameters=parameters, outputs=outputs)
    assert sent.status_code == 200, sent.text
    assert sent.content_type == "application/octet-stream"
    length = int(sent.headers[LENGTH])
    (output,) = json.loads(sent.data[:length])["outputs"]
    assert output == {"name": "predict", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    assert np.frombuffer(sent.data[length:], "<f8").tolist() == OUTPUTS


def test_bytes_in_and_json_out(client: FlaskClient):
    outputs = [{"name": "predict", "parameters": {"binary_data": False}}]
    sent = with_bytes(client, parameters={"binary_data_output": True}, outputs=outputs)
    assert conforms(sent, INFERENCE)["outputs"][0]["data"] == OUTPUTS


@pytest.mark.parametrize("length", ["", "-1", "x", "100000", "1" * 5_000, "²"])
def test_a_length_of_the_json_that_cannot_be_is_refused(client: FlaskClient, length):
    sent = with_bytes(client, length=length.encode().decode("latin-1"))
    assert LENGTH in refused(sent, 400, "bad_request")


def test_bytes_that_nobody_owns_are_refused(client: FlaskClient):
    assert "3 bytes of the body belong to no input" in refused(
        with_bytes(client, behind=b"abc"), 422, "validation_failed"
    )


def test_what_an_application_does_before_its_requests_is_done_before_inference_too(app: Flask):
    app.before_request(lambda: ("who are you?", 401))
    assert infer(app.test_client(), MATRIX).status_code == 401


def test_a_body_that_ends_early_is_refused(app: Flask):
    answer = Client(app).post(
        INFER,
        input_stream=BytesIO(b'{"inputs"'),
        headers={"Content-Length": "100"} | headers_of("a client"),
        content_type="application/json",
    )
    refused(answer, 400, "bad_request")
