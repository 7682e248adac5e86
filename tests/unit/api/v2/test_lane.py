"""The fast lane holds back, and says, what Flask would."""

from pathlib import Path

import pytest
from flask import Flask

from backend.app import create_app
from backend.extensions import db
from backend.settings import Settings
from tests.accounts import headers_of
from tests.unit.api.v2.protocol import refused
from tests.unit.conftest import create_tables

INFER = "/v2/models/adder/infer"
ROWS = {"inputs": [{"name": "rows", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


@pytest.fixture
def app(tmp_path: Path, write):
    """Three requests a minute are let in."""
    write()
    settings = Settings(
        data_dir=tmp_path, models_dir=tmp_path / "models", request_rate="3/minute", log_level="ERROR", _env_file=None
    )
    app = create_app(settings, ())
    with app.app_context():
        create_tables()
        yield app
        db.engine.dispose()


@pytest.fixture
def passed(app: Flask, monkeypatch) -> list[str]:
    """The paths of the requests that Flask was asked to answer."""
    paths: list[str] = []
    full_dispatch = app.full_dispatch_request
    monkeypatch.setattr(app, "full_dispatch_request", lambda: paths.append("Flask") or full_dispatch())
    return paths


def test_limits_hold_in_the_fast_lane_which_stays_open(app: Flask, passed):
    client = app.test_client()
    one, other = headers_of("a"), headers_of("b")
    for _ in range(3):
        assert client.post(INFER, json=ROWS, headers=one).status_code == 200
    assert passed == []
    answer = client.post(INFER, json=ROWS, headers=one)
    assert "3 per 1 minute requests" in refused(answer, 429, "too_many")
    assert int(answer.headers["Retry-After"]) >= 1
    assert client.post(INFER, json=ROWS, headers=other).status_code == 200
    assert passed == ["Flask"]


def test_what_the_lane_hands_on_is_counted_once(app: Flask, passed):
    client = app.test_client()
    who = headers_of("a")
    statuses = [client.post(INFER, json={"inputs": []}, headers=who).status_code for _ in range(4)]
    assert statuses == [422, 422, 422, 429]


def test_the_lane_and_flask_count_together(app: Flask):
    client = app.test_client()
    who = headers_of("a")
    assert client.post(INFER, json=ROWS, headers=who).status_code == 200
    hooks = app.before_request_funcs[None]
    hooks.append(lambda: None)
    assert [client.post(INFER, json=ROWS, headers=who).status_code for _ in range(3)] == [200, 200, 429]


def test_answers_of_the_lane_have_the_headers_of_all(app: Flask, passed):
    answer = app.test_client().post(INFER, json=ROWS, headers=headers_of("a"))
    assert passed == []
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5_000, "-1", "+5", "1_0", " 5"])
def test_a_length_that_is_none_breaks_nothing(app: Flask, length: str):
    environ = {"CONTENT_LENGTH": length}
    answer = app.test_client().post(INFER, data=b"{}", headers=headers_of("a"), environ_overrides=environ)
    assert answer.status_code < 500


@pytest.mark.parametrize("body", [b'{"inputs": [], "inputs": []}', b'{"inputs": [{"name": "a", "name": "b"}]}'])
def test_a_name_that_is_there_twice_is_refused(app: Flask, body: bytes):
    answer = app.test_client().post(INFER, data=body, headers=headers_of("a"))
    assert "twice" in refused(answer, 400, "bad_request")
