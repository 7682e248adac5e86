"""Bulks over HTTP."""

from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.api import bulk as module
from backend.jobs.execute import execute
from backend.jobs.limits import Limits
from backend.jobs.views import list_jobs
from tests.unit.batches.file_service import FileService, jobs

KEY = {"Idempotency-Key": "bulk-1"}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def is_problem(response, status: int, code: str):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json


def bulk_of(*values) -> dict[str, object]:
    return {"jobs": [{"kind": "test.double", "request": {"value": value}} for value in values]}


def stored() -> int:
    return len(list_jobs(limit=500).jobs)


def finish(kind, worker, doorbell):
    while doorbell.rings:
        execute(kind, doorbell.rings.pop(0)[2], worker)


def test_a_bulk_is_accepted_with_its_location_and_waits_behind_others(client, doorbell):
    response = client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2, 3))
    assert response.status_code == 202
    assert response.headers["Retry-After"] == "2"
    assert response.json["total"] == 3
    polled = client.get(response.headers["Location"])
    assert polled.json == response.json
    assert polled.headers["Retry-After"] == "2"
    assert {job.priority for job in list_jobs(limit=5).jobs} == {"low"}
    assert len(doorbell.rings) == 3


def test_a_bulk_is_as_urgent_as_was_said(client):
    client.post("/api/ml/jobs/bulk?priority=urgent", json=bulk_of(1))
    assert list_jobs(limit=1).jobs[0].priority == "urgent"


def test_results_come_in_order_by_pages(client, kind, worker, doorbell):
    location = client.post("/api/ml/jobs/bulk", json=bulk_of(*range(5))).headers["Location"]
    finish(kind, worker, doorbell)
    done = client.get(location)
    assert (done.json["finished"], done.json["states"]) == (5, {"succeeded": 5})
    assert done.json["finished_at"] is not None
    assert "Retry-After" not in done.headers
    first = client.get(f"{location}/jobs?limit=3").json
    rest = client.get(f"{location}/jobs?after={first['next_after']}").json
    assert [job["result"]["value"] for job in first["jobs"] + rest["jobs"]] == [0, 2, 4, 6, 8]
    assert rest["next_after"] is None


def test_the_same_key_and_body_are_the_same_bulk_also_when_it_has_ended(client, kind, worker, doorbell):
    first = client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2), headers=KEY)
    again = client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2), headers=KEY)
    assert (again.status_code, again.json) == (202, first.json)
    finish(kind, worker, doorbell)
    ended = client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2), headers=KEY)
    assert (ended.status_code, ended.json["finished"]) == (200, 2)
    assert {first.headers["Location"]} == {again.headers["Location"], ended.headers["Location"]}
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in (first, again, ended)]
    assert replayed == [None, "true", "true"]
    is_problem(client.post("/api/ml/jobs/bulk", json=bulk_of(2, 1), headers=KEY), 422, "idempotency_key_reused")
    assert stored() == 2


def test_wrong_jobs_are_named_by_place_and_nothing_is_stored(client, doorbell):
    body = {
        "jobs": [
            {"kind": "test.double", "request": {"value": 1}},
            {"kind": "test.unknown", "request": {}},
            {"kind": "test.double", "request": {"valu": 1}},
            {"kind": "test.double", "request": {"value": "Asha Menon"}},
        ]
    }
    problem = is_problem(client.post("/api/ml/jobs/bulk", json=body), 422, "validation_failed")
    assert [wrong["field"] for wrong in problem["errors"]] == [
        "jobs.1.kind",
        "jobs.2.request.valu",
        "jobs.3.request.value",
    ]
    assert "there are: test.double" in problem["errors"][0]["reason"]
    assert "Asha" not in str(problem)
    assert (stored(), doorbell.rings) == (0, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [({"jobs": []}, "jobs"), ({}, "jobs"), ({"jobs": [{"kind": "test.double"}]}, "jobs.0.request"), ([], "")],
)
def test_a_body_that_is_no_bulk_is_refused(client, body, field):
    problem = is_problem(client.post("/api/ml/jobs/bulk", json=body), 422, "validation_failed")
    assert [wrong["field"] for wrong in problem["errors"]] == [field]


def test_ten_thousand_jobs_are_a_bulk_and_one_more_is_not(client, doorbell):
    accepted = client.post("/api/ml/jobs/bulk", json=bulk_of(*range(10_000)))
    assert (accepted.status_code, accepted.json["states"]) == (202, {"queued": 10_000})
    problem = is_problem(client.post("/api/ml/jobs/bulk", json=bulk_of(*range(10_001))), 422, "validation_failed")
    assert problem["errors"] == [
        {"field": "jobs", "reason": "List should have at most 10000 items after validation, not 10001"}
    ]


def test_of_thousands_of_wrong_jobs_the_first_hundred_are_named(client):
    body = {"jobs": [{"kind": "test.double", "request": {}, "more": 1}] * 1_000}
    problem = is_problem(client.post("/api/ml/jobs/bulk", json=body), 422, "validation_failed")
    assert len(problem["errors"]) == 100


def test_a_bulk_may_be_larger_than_other_bodies_up_to_a_limit(client, app, monkeypatch):
    app.config["MAX_CONTENT_LENGTH"] = 100
    assert client.post("/api/ml/jobs/bulk", json=bulk_of(*range(10))).status_code == 202
    monkeypatch.setattr(module, "LARGEST_BODY", 300)
    refused = client.post("/api/ml/jobs/bulk", json=bulk_of(*range(10)))
    assert "at most 300 bytes" in is_problem(refused, 413, "body_too_large")["detail"]


def test_the_limit_is_twenty_megabytes():
    assert module.LARGEST_BODY == 20_000_000


def test_a_bulk_counts_with_all_its_jobs(client, app):
    app.extensions["limits"] = Limits(app.extensions["settings"].model_copy(update={"client_jobs": 5}))
    assert client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2, 3)).status_code == 202
    refused = client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2, 3))
    is_problem(refused, 429, "too_many")
    assert int(refused.headers["Retry-After"]) >= 1
    never = is_problem(client.post("/api/ml/jobs/bulk", json=bulk_of(*range(6))), 422, "validation_failed")
    assert "send at most 5" in never["detail"]
    assert stored() == 3


def test_a_bulk_is_cancelled(client):
    location = client.post("/api/ml/jobs/bulk", json=bulk_of(1, 2)).headers["Location"]
    cancelled = client.post(f"{location}/cancel")
    assert (cancelled.status_code, cancelled.json["states"]) == (200, {"cancelled": 2})


@pytest.mark.parametrize("path", ["", "/jobs"])
def test_an_unknown_bulk_is_not_found(client, path):
    is_problem(client.get(f"/api/ml/jobs/bulk/{uuid4()}{path}"), 404, "not_found")


@pytest.mark.parametrize("kind", ["platform.predict_part", "platform.import_file", "platform.deliver_webhook"])
def test_what_nobody_may_submit_is_no_kind_of_a_bulk_either(service: FileService, kind):
    assert kind in service.app.extensions["kinds"]
    body = {"jobs": [{"kind": kind, "request": {}}]}
    problem = is_problem(service.client.post("/api/ml/jobs/bulk", json=body), 422, "validation_failed")
    assert problem["errors"][0]["field"] == "jobs.0.kind"
    assert kind not in problem["errors"][0]["reason"]
    assert jobs() == 0
