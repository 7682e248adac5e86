"""What every answer tells browsers."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/ml/jobs", 200),
        ("/api/ml/jobs/7", 404),
        ("/nothing", 404),
        ("/api/ml/double", 405),
        ("/api/ml/jobs?limit=0", 422),
        ("/api/ml/models", 503),
        ("/v2", 200),
        ("/openapi.json", 200),
        ("/static/apidocs.js", 200),
        ("/apidocs/", 200),
    ],
)
def test_every_answer_has_them_once(client: FlaskClient, path, status):
    with client.get(path) as answer:
        assert answer.status_code == status
        for name, value in ALWAYS.items():
            assert answer.headers.getlist(name) == [value]
        (policy,) = answer.headers.getlist("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith("frame-ancestors 'none'")
    assert "unsafe" not in policy


def test_a_fault_of_ours_has_them_too(client: FlaskClient, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError

    monkeypatch.setattr("backend.jobs.intake.transaction", fail)
    answer = client.post("/api/ml/double", json={})
    assert answer.status_code == 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_but_the_documentation_may_load_anything(client: FlaskClient):
    nothing = "default-src 'none'; frame-ancestors 'none'"
    assert client.get("/api/ml/jobs").headers["Content-Security-Policy"] == nothing
    assert client.get("/apidocs/x").headers["Content-Security-Policy"] == nothing


def test_the_documentation_needs_no_more_than_its_policy_allows(client: FlaskClient):
    answer = client.get("/apidocs/")
    assert "script-src 'self'; style-src 'self'" in answer.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?![^>]*\bsrc=)", answer.text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|<base|<form|javascript:", answer.text) == []


def test_only_what_came_by_tls_is_kept_to_tls(client: FlaskClient):
    assert "Strict-Transport-Security" not in client.get("/api/ml/health/live").headers
    said = client.get("/api/ml/health/live", headers={"X-Forwarded-Proto": "https"})
    assert "Strict-Transport-Security" not in said.headers
    secure = client.get("/api/ml/health/live", base_url="https://localhost")
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_pages_of_other_sites_are_allowed_nothing(client: FlaskClient, method):
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for path in ("/api/ml/jobs", "/openapi.json", "/apidocs/", "/v2"):
        answer = client.open(path, method=method, headers=asked)
        assert not [name for name in answer.headers.keys() if name.lower().startswith("access-control-")]  # noqa: SIM118 - Werkzeug's headers iterate over pairs
