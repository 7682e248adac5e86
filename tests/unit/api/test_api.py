"""The platform's HTTP conventions, on a tiny job kind."""

import re
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.errors import FieldError, ValidationFailed
from backend.extensions import Table, db
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.views import list_jobs


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def stored():
    return len(list_jobs(state=None, kind=None, before=None, limit=100).jobs)


def is_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["code"] == code
    assert response.json["detail"]
    return response.json


def test_a_submitted_job_is_accepted_with_its_location(client: FlaskClient):
    response = client.post("/api/ml/double", json={"value": 4})
    assert response.status_code == 202
    assert response.headers["Retry-After"] == "1"
    assert response.json["state"] == "queued"
    polled = client.get(response.headers["Location"])
    assert polled.status_code == 200
    assert polled.json["id"] == response.json["id"]


def test_a_finished_job_has_its_result(client: FlaskClient, kind: JobKind, worker: Worker, doorbell):
    location = client.post("/api/ml/double", json={"value": 4}).headers["Location"]
    execute(kind, doorbell.rings[0][2], worker)
    job = client.get(location)
    assert job.json["state"] == "succeeded"
    assert job.json["result"] == {"value": 8}
    assert "Retry-After" not in job.headers
    assert job.headers["Cache-Control"] == "no-store"


def test_prefer_wait_answers_200_with_the_finished_job(client: FlaskClient, kind: JobKind, worker: Worker, app: Flask):
    class EagerDoorbell:
        def ring(self, _kind, _queue, job_id, *, priority):
            assert priority == 3
            execute(kind, job_id, worker)

    app.extensions["doorbell"] = EagerDoorbell()
    response = client.post("/api/ml/double", json={"value": 4}, headers={"Prefer": "respond-async, wait=5"})
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait"
    assert response.json["result"] == {"value": 8}


def test_prefer_wait_answers_202_when_time_is_up(client: FlaskClient):
    response = client.post("/api/ml/double", json={"value": 4}, headers={"Prefer": "wait=0.05"})
    assert response.status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [({"value": "four"}, "value"), ({"value": 1, "valu": 2}, "valu"), ([1], ""), ({"value": None}, "value")],
)
def test_wrong_fields_are_named_and_nothing_is_stored(client: FlaskClient, body, field):
    problem = is_problem(client.post("/api/ml/double", json=body), 422, "validation_failed")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert all(error["reason"] for error in problem["errors"])
    assert stored() == 0


def test_a_refusal_does_not_repeat_what_was_sent(client: FlaskClient):
    response = client.post("/api/ml/double", json={"value": "Asha Menon"})
    assert "Asha" not in response.text


def test_a_body_that_is_not_json_is_a_400(client: FlaskClient):
    is_problem(client.post("/api/ml/double", data="{value: 4}", content_type="application/json"), 400, "bad_request")
    assert stored() == 0


def test_a_body_of_another_type_is_a_415(client: FlaskClient):
    is_problem(client.post("/api/ml/double", data="value=4"), 415, "unsupported_media_type")


def test_a_body_that_is_too_large_is_a_413(client: FlaskClient):
    large = b'{"value": 4, "x": "' + b"a" * 2_000_000 + b'"}'
    problem = is_problem(
        client.post("/api/ml/double", data=large, content_type="application/json"), 413, "body_too_large"
    )
    assert "1,000,000 bytes" in problem["detail"]
    assert stored() == 0


def test_an_unknown_job_or_route_is_a_404(client: FlaskClient):
    is_problem(client.get(f"/api/ml/jobs/{uuid4()}"), 404, "not_found")
    is_problem(client.get("/api/ml/jobs/7"), 404, "not_found")
    is_problem(client.get("/api/ml/nothing"), 404, "not_found")


def test_a_wrong_method_is_a_405_that_says_which_are_right(client: FlaskClient):
    response = client.get("/api/ml/double")
    is_problem(response, 405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]


def test_cancelling_is_200_when_done_and_409_when_too_late(client: FlaskClient, kind, worker, doorbell):
    location = client.post("/api/ml/double", json={}).headers["Location"]
    cancelled = client.post(f"{location}/cancel")
    assert (cancelled.status_code, cancelled.json["state"]) == (200, "cancelled")
    is_problem(client.post(f"{location}/cancel"), 409, "conflict")


def test_a_check_of_the_kind_decides_before_anything_is_stored(client: FlaskClient, kind: JobKind, app: Flask):
    def refuse(_request):
        raise ValidationFailed((FieldError("value", "too odd"),))

    object.__setattr__(kind, "checks", (refuse,))
    problem = is_problem(client.post("/api/ml/double", json={}), 422, "validation_failed")
    assert problem["errors"] == [{"field": "value", "reason": "too odd"}]
    assert stored() == 0


def test_a_database_that_does_not_answer_is_a_503_with_retry_after(client: FlaskClient):
    Table.metadata.drop_all(db.engine)
    response = client.post("/api/ml/double", json={})
    is_problem(response, 503, "unavailable")
    assert response.headers["Retry-After"]


def test_a_fault_of_ours_is_a_500_without_details(client: FlaskClient, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError("Asha Menon")

    monkeypatch.setattr("backend.jobs.intake.transaction", fail)
    response = client.post("/api/ml/double", json={})
    is_problem(response, 500, "internal_error")
    assert "Asha" not in response.text


def test_jobs_are_listed_with_filters_that_are_checked(client: FlaskClient):
    client.post("/api/ml/double", json={})
    assert len(client.get("/api/ml/jobs?state=queued&kind=test.double&limit=1").json["jobs"]) == 1
    assert client.get("/api/ml/jobs?state=running").json["jobs"] == []
    problem = is_problem(client.get("/api/ml/jobs?state=pending&limit=0&x=1"), 422, "validation_failed")
    assert {error["field"] for error in problem["errors"]} == {"state", "limit", "x"}


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("9999-12-31T23:59:59-12:00", "must lie from 1900 to 2149"),
        ("0001-01-01T00:00:00%2B14:00", "must lie from 1900 to 2149"),
        ("20260301", "is a number"),
        ("2026-03-01T10:00:00", "timezone"),
    ],
)
def test_a_moment_that_no_database_can_take_is_refused(client: FlaskClient, moment, reason):
    problem = is_problem(client.get(f"/api/ml/jobs?before={moment}"), 422, "validation_failed")
    (error,) = problem["errors"]
    assert error["field"] == "before"
    assert reason in error["reason"]


def test_health_is_degraded_without_workers_and_live_knows_nothing(client: FlaskClient):
    assert client.get("/api/ml/health/live").json["status"] == "ok"
    ready = client.get("/api/ml/health/ready")
    assert ready.status_code == 200
    assert ready.json["status"] == "degraded"
    assert "no worker serves the queue interactive" in ready.json["problems"]


def test_health_is_503_without_the_database(client: FlaskClient):
    Table.metadata.drop_all(db.engine)
    response = client.get("/api/ml/health/ready")
    assert response.status_code == 503
    assert response.json["status"] == "unavailable"
    assert response.headers["Retry-After"]


def test_models_say_why_they_cannot_be_served(client: FlaskClient):
    response = client.get("/api/ml/models")
    is_problem(response, 503, "bad_artifact")


def test_every_route_is_described_and_every_description_is_a_route(client: FlaskClient, app: Flask):
    described = {
        (path, method.upper())
        for path, operations in client.get("/openapi.json").json["paths"].items()
        for method in operations
    }
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(("/api/ml", "/v2"))
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert described == routes


def test_the_description_refers_only_to_schemas_it_has(client: FlaskClient):
    description = client.get("/openapi.json").json

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    names = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert set(references(description)) <= names
    body = description["paths"]["/api/ml/double"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = description["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert schema["additionalProperties"] is False


def test_the_documentation_page_loads_nothing_from_elsewhere_and_no_old_assets(client: FlaskClient):
    page = client.get("/apidocs/").text
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/apidocs-assets/{asset}" in page
        with client.get(f"/apidocs-assets/{asset}") as found:
            assert found.status_code == 200
    with client.get("/static/apidocs.js") as script:
        assert script.status_code == 200
    assert client.get("/flasgger_static/swagger-ui-bundle.js").status_code == 404
