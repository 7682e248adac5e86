"""Dead letters over HTTP."""

from dataclasses import replace
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.errors import ArtifactError
from backend.jobs.execute import execute
from tests.unit.batches.file_service import FileService


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def letters(client, kind, worker, doorbell, behaviour) -> list[str]:
    """Three jobs that have failed."""

    def act(_request, _context):
        raise ArtifactError("model m is truncated")

    behaviour.act = act
    ids = [client.post("/api/ml/double", json={"value": value}).json["id"] for value in range(3)]
    while doorbell.rings:
        execute(kind, doorbell.rings.pop(0)[2], worker)
    return ids


def is_problem(response, status: int, code: str):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json


def listed(client, query: str = "") -> list[str]:
    return [job["id"] for job in client.get(f"/api/ml/dead-letters{query}").json["jobs"]]


def test_they_are_listed_with_counts_by_pages(client, letters):
    page = client.get("/api/ml/dead-letters?limit=2").json
    assert page["counts"] == [{"kind": "test.double", "error_code": "bad_artifact", "count": 3}]
    rest = client.get("/api/ml/dead-letters", query_string={"before": page["next_before"]}).json
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == letters[::-1]
    assert rest["next_before"] is None
    assert listed(client, "?kind=test.other") == []
    assert listed(client, "?error_code=bad_artifact") == letters[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "before=yesterday", "state=dead"])
def test_a_wrong_filter_is_named(client, query):
    problem = is_problem(client.get(f"/api/ml/dead-letters?{query}"), 422, "validation_failed")
    assert problem["errors"][0]["field"] == query.split("=")[0]


def test_a_replay_is_accepted_as_a_new_job_and_twice_is_a_conflict(client, letters, doorbell):
    replayed = client.post(f"/api/ml/jobs/{letters[0]}/replay")
    assert replayed.status_code == 202
    assert replayed.json["replay_of"] == letters[0]
    assert replayed.headers["Location"] == f"/api/ml/jobs/{replayed.json['id']}"
    assert replayed.headers["Retry-After"] == "1"
    assert len(doorbell.rings) == 1
    problem = is_problem(client.post(f"/api/ml/jobs/{letters[0]}/replay"), 409, "conflict")
    assert problem["detail"] == f"job {letters[0]} is already replayed"
    old = client.get(f"/api/ml/jobs/{letters[0]}").json
    assert (old["state"], old["resolution"]) == ("failed", "replayed")
    assert listed(client) == letters[:0:-1]


def test_a_job_that_is_no_dead_letter_is_a_conflict(client):
    job = client.post("/api/ml/double", json={}).json
    problem = is_problem(client.post(f"/api/ml/jobs/{job['id']}/replay"), 409, "conflict")
    assert "only failed and dead jobs are dead letters" in problem["detail"]


def test_an_unknown_job_is_not_found(client):
    is_problem(client.post(f"/api/ml/jobs/{uuid4()}/replay"), 404, "not_found")
    is_problem(client.post(f"/api/ml/jobs/{uuid4()}/discard", json={"reason": "unknown"}), 404, "not_found")


def test_one_is_discarded_with_a_reason(client, letters):
    discarded = client.post(f"/api/ml/jobs/{letters[1]}/discard", json={"reason": "  a test file "})
    assert discarded.status_code == 200
    assert (discarded.json["resolution"], discarded.json["resolution_reason"]) == ("discarded", "a test file")
    assert discarded.json["state"] == "failed"
    assert letters[1] not in listed(client)
    is_problem(client.post(f"/api/ml/jobs/{letters[1]}/discard", json={"reason": "again"}), 409, "conflict")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "    "}, {"reason": "a" * 501}, {"reason": None}])
def test_a_discard_needs_a_reason(client, letters, body):
    problem = is_problem(client.post(f"/api/ml/jobs/{letters[0]}/discard", json=body), 422, "validation_failed")
    assert problem["errors"][0]["field"] == "reason"
    assert len(listed(client)) == 3


def test_many_are_replayed_by_id_and_those_that_cannot_be_are_named(client, letters):
    unknown = str(uuid4())
    result = client.post("/api/ml/dead-letters/replay", json={"job_ids": [letters[0], letters[0], unknown]})
    assert result.status_code == 200
    assert [one["job_id"] for one in result.json["replayed"]] == [letters[0]]
    assert result.json["refused"] == [{"job_id": unknown, "reason": f"no job {unknown}"}]


def test_many_are_replayed_or_discarded_by_what_they_have_in_common(client, letters):
    nothing = client.post("/api/ml/dead-letters/replay", json={"kind": "test.other"}).json
    assert nothing == {"replayed": [], "refused": []}
    body = {"error_code": "bad_artifact", "kind": "test.double", "reason": "an outage"}
    assert client.post("/api/ml/dead-letters/discard", json=body).json == {"discarded": letters, "refused": []}
    assert listed(client) == []


@pytest.mark.parametrize("body", [{}, {"job_ids": []}, {"job_ids": ["x"]}, {"job_ids": [str(uuid4())], "kind": "a.b"}])
def test_what_is_meant_must_be_said_in_one_way(client, letters, body):
    is_problem(client.post("/api/ml/dead-letters/replay", json=body), 422, "validation_failed")
    is_problem(client.post("/api/ml/dead-letters/discard", json={**body, "reason": "why"}), 422, "validation_failed")
    assert len(listed(client)) == 3


def test_a_kind_that_is_gone_is_a_conflict_that_says_what_to_do(client, app, kind, letters):
    app.extensions["kinds"] = {}
    problem = is_problem(client.post(f"/api/ml/jobs/{letters[0]}/replay"), 409, "conflict")
    assert problem["detail"].endswith("discard it")
    app.extensions["kinds"] = {kind.name: replace(kind, replayable=False)}
    problem = is_problem(client.post(f"/api/ml/jobs/{letters[0]}/replay"), 409, "conflict")
    assert problem["detail"].endswith("send the file again")


def test_the_work_on_an_upload_is_not_replayed(service: FileService):
    banks = "external_id,name,district,latitude,longitude\nB1,General,Kollam,9.0,76.6\n"
    job_id = service.upload("/imports/banks", banks).json["id"]
    for path in service.storage.folder(job_id).iterdir():
        path.write_bytes(b"\x00\xff\x00")  # what a broken disk leaves
    service.run()
    job = service.client.get(f"/api/ml/jobs/{job_id}").json
    assert job["state"] == "failed", job
    problem = is_problem(service.client.post(f"/api/ml/jobs/{job_id}/replay"), 409, "conflict")
    assert "send the file again" in problem["detail"]


def test_a_job_shows_its_attempts_with_worker_and_error_and_its_timing(client, letters):
    job = client.get(f"/api/ml/jobs/{letters[0]}").json
    (attempt,) = job["attempts"]
    assert (attempt["number"], attempt["worker"], attempt["outcome"]) == (1, "w1", "failed")
    assert attempt["error"] == job["error"] == {"code": "bad_artifact", "message": "model m is truncated"}
    assert job["timing"]["queued"] >= 0
    assert job["timing"]["ran"] >= 0
    assert job["timing"]["model"] is None


def test_cancelling_a_finished_job_is_a_conflict_that_says_so(client, letters):
    problem = is_problem(client.post(f"/api/ml/jobs/{letters[0]}/cancel"), 409, "conflict")
    assert problem["detail"] == f"job {letters[0]} is already failed"
