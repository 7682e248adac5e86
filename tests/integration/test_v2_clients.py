"""Triton's own client against a real server: what works with Triton and MLServer works here."""

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.http import aio
from tritonclient.utils import InferenceServerException

from backend.settings import PROJECT
from tests.integration.stack import Stack

MODEL = "donor_availability"
RELEASE = PROJECT / "models_artifacts" / MODEL / "1"
ROWS = np.array(json.loads((RELEASE / "golden.json").read_text())["rows"][:4], dtype=np.float64)
COLUMNS = [column["name"] for column in json.loads((RELEASE / "manifest.json").read_text())["columns"]]


@pytest.fixture
def database_url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'test.sqlite'}"


@pytest.fixture
def server(stack: Stack) -> str:
    stack.migrate()
    stack.start_api()
    return f"127.0.0.1:{stack.port}"


@pytest.fixture
def client(server: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server, network_timeout=60.0) as client:
        yield client


def matrix(rows: np.ndarray, *, binary: bool, module=triton) -> list[triton.InferInput]:
    one = module.InferInput("rows", list(rows.shape), "FP64")
    one.set_data_from_numpy(rows, binary_data=binary)
    return [one]


def columns(rows: np.ndarray, *, binary: bool) -> list[triton.InferInput]:
    inputs = []
    for name, values in zip(COLUMNS, rows.T, strict=True):
        one = triton.InferInput(name, [len(rows)], "FP64")
        one.set_data_from_numpy(np.ascontiguousarray(values), binary_data=binary)
        inputs.append(one)
    return inputs


def test_the_client_of_triton_finds_its_way_from_health_to_predictions(client: triton.InferenceServerClient):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert not client.is_model_ready("nobody")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata(MODEL, model_version="1")
    assert [one["name"] for one in described["inputs"]] == COLUMNS
    whole = np.nan_to_num(ROWS)  # its JSON writes NaN, which is none
    answers = [
        client.infer(MODEL, make(whole, binary=binary), request_id="42", outputs=outputs)
        for make in (matrix, columns)
        for binary in (True, False)
        for outputs in (None, [triton.InferRequestedOutput("predict", binary_data=binary)])
    ]
    first = answers[0].as_numpy("predict")
    assert first.shape == (len(ROWS),)
    assert ((first > 0.0) & (first < 1.0)).all()
    for answer in answers:
        np.testing.assert_array_equal(answer.as_numpy("predict"), first)
        said = answer.get_response()
        assert (said["model_name"], said["model_version"], said["id"]) == (MODEL, "1", "42")
    assert not np.isnan(client.infer(MODEL, matrix(ROWS, binary=True)).as_numpy("predict")).any()


def test_it_reads_what_is_refused(client: triton.InferenceServerClient):
    with pytest.raises(InferenceServerException, match="no model 'nobody'") as unknown:
        client.infer("nobody", matrix(ROWS, binary=True))
    assert unknown.value.status() == "404"
    with pytest.raises(InferenceServerException, match="version 2 of the model donor_availability is not served"):
        client.infer(MODEL, matrix(ROWS, binary=True), model_version="2")
    with pytest.raises(InferenceServerException, match="not a column of the model"):
        client.infer(MODEL, matrix(ROWS[:, :2].copy(), binary=True))
    with pytest.raises(InferenceServerException, match="compressed"):
        client.infer(MODEL, matrix(ROWS, binary=True), request_compression_algorithm="gzip")
    with pytest.raises(InferenceServerException, match="not found on the server"):
        client.get_model_config(MODEL)


def test_it_unloads_a_model_and_loads_it_again(client: triton.InferenceServerClient):
    before = client.infer(MODEL, matrix(ROWS, binary=True)).as_numpy("predict")
    client.unload_model(MODEL)
    assert not client.is_model_ready(MODEL)
    states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
    assert states.pop(MODEL) == "UNAVAILABLE"
    assert set(states.values()) == {"READY"}
    with pytest.raises(InferenceServerException, match="was unloaded"):
        client.infer(MODEL, matrix(ROWS, binary=True))
    client.load_model(MODEL)
    assert client.is_model_ready(MODEL)
    np.testing.assert_array_equal(client.infer(MODEL, matrix(ROWS, binary=True)).as_numpy("predict"), before)
    client.load_model(MODEL)
    assert client.is_model_ready(MODEL)


async def ask_all(server: str) -> list[np.ndarray]:
    async with aio.InferenceServerClient(server) as client:
        inputs = matrix(ROWS, binary=True, module=aio)
        return [(await client.infer(MODEL, inputs)).as_numpy("predict") for _ in range(3)]


def test_its_asynchronous_client_gets_the_same(server: str, client: triton.InferenceServerClient):
    expected = client.infer(MODEL, matrix(ROWS, binary=True)).as_numpy("predict")
    for got in asyncio.run(ask_all(server)):
        np.testing.assert_array_equal(got, expected)
