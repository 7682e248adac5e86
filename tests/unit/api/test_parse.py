"""What is read of a request, and what no reader should be trusted with."""

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.api.parse import ZERO, _check_text
from backend.errors import ValidationFailed
from backend.jobs.views import list_jobs

DEEP = 10_000


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def stored() -> int:
    return len(list_jobs(state=None, kind=None, before=None, limit=10).jobs)


def send(client: FlaskClient, body: bytes, path: str = "/api/ml/double", **headers):
    return client.post(path, data=body, content_type="application/json", headers=headers)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[" * DEEP + "]" * DEEP, "recursion limit"),
        ('{"a":' * DEEP + "1" + "}" * DEEP, "recursion limit"),
        ("1" + "0" * 5_000, "number out of range"),
        ("NaN", "value"),
        ("1e400", "value"),
        ('"\\ud800"', "hex escape"),
        ('1, "value": 2', "a name twice"),
    ],
)
def test_json_that_readers_disagree_about_is_refused_and_stores_nothing(client: FlaskClient, value: str, says: str):
    for path, body in (
        ("/api/ml/double", f'{{"value": {value}}}'),
        ("/api/ml/jobs/bulk", f'{{"jobs": [{{"kind": "test.double", "request": {{"value": {value}}}}}]}}'),
    ):
        answer = send(client, body.encode(), path)
        assert answer.status_code in (400, 422)
        assert answer.content_type == "application/problem+json"
        assert says in answer.json["detail"]
    assert stored() == 0


def test_bytes_that_are_no_text_are_refused(client: FlaskClient):
    assert send(client, b'{"value": "\xff"}').status_code == 400
    assert send(client, '{"value": 1}'.encode("utf-16")).status_code == 400


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_not_read(client: FlaskClient, coding: str):
    answer = send(client, b"\x1f\x8b" * 1_000, **{"Content-Encoding": coding})
    assert answer.status_code == 415
    assert "without Content-Encoding" in answer.json["detail"]


def test_a_body_that_is_as_it_is_may_say_so(client: FlaskClient):
    assert send(client, b'{"value": 1}', **{"Content-Encoding": "identity"}).status_code == 202


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_does_not_know_are_named(client: FlaskClient, constant: str):
    body = f'{{"rows": [{{"a": {constant}}}], "model": "none"}}'.encode()
    assert f"{constant} is not JSON" in send(client, body, "/api/ml/batches").json["detail"]


def test_a_body_with_a_zero_character_is_refused_and_stores_nothing(client: FlaskClient):
    answer = send(client, b'{"jobs": [{"kind": "test.double", "request": {"\\u0000": 1}}]}', "/api/ml/jobs/bulk")
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "", "reason": ZERO}]
    assert stored() == 0


def test_a_zero_character_is_found_however_it_is_written():
    for text in ('"\\u0000"', '"\\\\\\u0000"', '{"\\u0000": 1}'):
        with pytest.raises(ValidationFailed, match=ZERO):
            _check_text(text.encode())
    for text in ('"\\\\u0000"', '"u0000"', '"\\\\\\\\u0000"', '"\\u0001"'):
        _check_text(text.encode())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_whether_text_holds_a_zero_character_is_seen_in_its_json(text: str):
    content = json.dumps({"text": text}).encode()
    if "\x00" in text:
        with pytest.raises(ValidationFailed):
            _check_text(content)
    else:
        _check_text(content)


def test_a_zero_character_in_a_query_or_a_path_is_refused(client: FlaskClient):
    answer = client.get("/api/ml/jobs?kind=a%00b")
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "kind", "reason": ZERO}]
    for path in ("/api/ml/models/a%00b/versions", "/api/ml/schedules/%00", "/v2/models/%00"):
        assert client.get(path).json["code"] == "not_found"


@pytest.mark.parametrize("path", ["/api/ml/models/ledger?before_seq=", "/api/ml/jobs/bulk/{}/jobs?after="])
def test_numbers_that_no_database_can_take_are_refused(client: FlaskClient, path: str):
    answer = client.get(path.format("00000000-0000-0000-0000-000000000000") + "1" + "0" * 30)
    assert answer.status_code == 422
    assert "less than or equal" in answer.json["detail"]
