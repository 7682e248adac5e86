"""The terms of a submission over HTTP: keys, deadlines, priorities, limits."""

from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.clock import utc_now
from backend.jobs.execute import execute
from backend.jobs.limits import Limits
from backend.jobs.states import JobState
from backend.jobs.views import list_jobs
from backend.settings import Settings
from tests.accounts import headers_of
from tests.unit.batches.file_service import FileService, folders, jobs

KEY = {"Idempotency-Key": "3f1c7d9e-5a0b-4c55-8a53-0e6c3c9a7f10"}
BANKS = "external_id,name,district,latitude,longitude\nB1,General,Kollam,9.0,76.6\n"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def is_problem(response, status: int, code: str):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json


def limit(app: Flask, **options) -> None:
    settings: Settings = app.extensions["settings"]
    app.extensions["limits"] = Limits(settings.model_copy(update=options))


def stored() -> int:
    return len(list_jobs(limit=500).jobs)


class TestKeys:
    def test_the_same_key_and_body_are_the_same_job_and_location(self, client, kind, worker, doorbell):
        first = client.post("/api/ml/double", json={"value": 4}, headers=KEY)
        again = client.post("/api/ml/double", json={"value": 4}, headers=KEY)
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json == first.json
        assert again.headers["Location"] == first.headers["Location"]
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        execute(kind, doorbell.rings[0][2], worker)
        finished = client.post("/api/ml/double", json={"value": 4}, headers=KEY)
        assert (finished.status_code, finished.json["result"]) == (200, {"value": 8})
        assert finished.headers["Location"] == first.headers["Location"]
        assert stored() == len(doorbell.rings) == 1

    def test_another_body_is_refused(self, client):
        client.post("/api/ml/double", json={"value": 4}, headers=KEY)
        refused = client.post("/api/ml/double", json={"value": 5}, headers=KEY)
        problem = is_problem(refused, 422, "idempotency_key_reused")
        assert "a key of its own" in problem["detail"]
        assert stored() == 1

    def test_the_way_a_body_is_written_does_not_matter(self, client):
        first = client.post("/api/ml/double", data=b'{"value":4}', content_type="application/json", headers=KEY)
        again = client.post("/api/ml/double", data=b'{ "value" : 4 }', content_type="application/json", headers=KEY)
        assert again.json["id"] == first.json["id"]

    @pytest.mark.parametrize("key", ["", "a" * 256, "k" * 10_000, "käse", "two words"])
    def test_a_key_that_is_none_is_refused_and_nothing_is_stored(self, client, key):
        refused = client.post("/api/ml/double", json={"value": 4}, headers={"Idempotency-Key": key})
        problem = is_problem(refused, 422, "validation_failed")
        assert problem["errors"][0]["field"] == "Idempotency-Key"
        assert "1 to 255 visible ASCII characters" in problem["errors"][0]["reason"]
        assert stored() == 0

    def test_a_repeat_after_the_deadline_is_the_first_job(self, client):
        client.post("/api/ml/double?finish_by=PT1H", json={}, headers=KEY)
        past = (utc_now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert client.post(f"/api/ml/double?finish_by={past}", json={}, headers=KEY).status_code == 202
        assert stored() == 1

    def test_what_is_stored_already_needs_no_room(self, client, app):
        limit(app, client_jobs=1)
        first = client.post("/api/ml/double", json={}, headers=KEY)
        again = client.post("/api/ml/double", json={}, headers=KEY)
        assert (again.status_code, again.json["id"]) == (202, first.json["id"])
        is_problem(client.post("/api/ml/double", json={}, headers={"Idempotency-Key": "k-2"}), 429, "too_many")

    def test_a_refused_request_may_be_sent_again_under_its_key(self, client):
        is_problem(client.post("/api/ml/double?finish_by=PT0S", json={}, headers=KEY), 422, "validation_failed")
        assert client.post("/api/ml/double", json={"value": 1}, headers=KEY).status_code == 202


class TestDeadlines:
    @pytest.mark.parametrize("name", ["start_by", "finish_by"])
    def test_a_duration_and_a_moment_are_deadlines(self, client, name):
        now = utc_now()
        moment = (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert client.post(f"/api/ml/double?{name}={moment}", json={}).json[name] == moment
        later = client.post(f"/api/ml/double?{name}=PT1H", json={}).json[name]
        assert now <= datetime.fromisoformat(later) - timedelta(hours=1) <= utc_now()

    def test_one_that_has_passed_is_refused_with_the_time_of_the_server(self, client):
        problem = is_problem(
            client.post("/api/ml/double?finish_by=2020-01-01T00:00:00Z", json={}), 422, "validation_failed"
        )
        (wrong,) = problem["errors"]
        assert wrong["field"] == "finish_by"
        assert wrong["reason"].startswith(f"has passed; it is {utc_now():%Y-%m-%dT%H:}")
        assert stored() == 0

    @pytest.mark.parametrize("text", ["tomorrow", "30", "P", "2026-03-01T10:30:00"])
    def test_what_cannot_be_read_is_named(self, client, text):
        problem = is_problem(client.post(f"/api/ml/double?start_by={text}", json={}), 422, "validation_failed")
        assert problem["errors"][0]["field"] == "start_by"


class TestPriorities:
    @pytest.mark.parametrize("priority", ["urgent", "normal", "low"])
    def test_a_job_is_as_urgent_as_was_said(self, client, priority):
        assert client.post(f"/api/ml/double?priority={priority}", json={}).json["priority"] == priority

    def test_a_job_is_normal_unless_it_is_said(self, client):
        assert client.post("/api/ml/double", json={}).json["priority"] == "normal"

    def test_an_unknown_one_and_an_unknown_term_are_refused(self, client):
        problem = is_problem(client.post("/api/ml/double?priority=asap", json={}), 422, "validation_failed")
        assert "'urgent', 'normal' or 'low'" in problem["errors"][0]["reason"]
        problem = is_problem(client.post("/api/ml/double?prio=low", json={}), 422, "validation_failed")
        assert problem["errors"][0]["field"] == "prio"


class TestLimits:
    def test_a_client_with_too_many_unfinished_jobs_is_told_when_to_come_back(self, client, app):
        limit(app, client_jobs=2)
        assert [client.post("/api/ml/double", json={}).status_code for _ in range(2)] == [202, 202]
        refused = client.post("/api/ml/double", json={})
        assert "submit again when some have ended" in is_problem(refused, 429, "too_many")["detail"]
        assert int(refused.headers["Retry-After"]) >= 1
        assert stored() == 2
        other = client.post("/api/ml/double", json={}, headers=headers_of("another"))
        assert other.status_code == 202

    def test_a_client_that_is_too_fast_is_told_when_to_come_back(self, client, app):
        limit(app, client_rate="1/hour")
        assert client.post("/api/ml/double", json={}).status_code == 202
        refused = client.post("/api/ml/double", json={})
        is_problem(refused, 429, "too_many")
        assert 1 <= int(refused.headers["Retry-After"]) <= 3_600
        assert stored() == 1

    def test_a_full_queue_is_a_503_with_retry_after(self, client, app):
        limit(app, max_queued=1)
        assert client.post("/api/ml/double", json={}).status_code == 202
        refused = client.post("/api/ml/double", json={}, headers=headers_of("another"))
        is_problem(refused, 503, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert stored() == 1


class TestUploads:
    @pytest.mark.parametrize("path", ["/imports/banks", "/batches?model=donor_availability"])
    def test_a_second_upload_under_a_key_is_the_first_job_and_leaves_no_files(self, service: FileService, path):
        body = BANKS if path.startswith("/imports") else rows_of(service)
        first = service.upload(path, body, headers=KEY)
        assert first.status_code == 202, first.text
        assert "Idempotent-Replayed" not in first.headers
        before = folders(service)
        for _ in range(2):
            again = service.upload(path, body, headers=KEY)
            assert again.headers["Location"] == first.headers["Location"]
            assert again.json["id"] == first.json["id"]
            assert again.headers["Idempotent-Replayed"] == "true"
            assert folders(service) == before
            service.run()
        assert service.work(first.json["id"])["state"] == JobState.SUCCEEDED

    @pytest.mark.parametrize("path", ["/imports/banks", "/imports/donors"])
    def test_another_file_under_a_key_is_refused_and_leaves_no_files(self, service: FileService, path):
        service.upload("/imports/banks", BANKS, headers=KEY)
        before = folders(service)
        other = BANKS + "B2,Other,Kollam,9.0,76.6\n" if path.endswith("banks") else BANKS
        assert service.upload(path, other, headers=KEY).status_code == 422
        assert folders(service) == before
        assert jobs() == 1

    def test_a_key_that_is_none_is_refused_before_the_upload_comes_in(self, service: FileService):
        refused = service.upload("/imports/banks", BANKS, headers={"Idempotency-Key": "no key"})
        is_problem(refused, 422, "validation_failed")
        assert (folders(service), jobs()) == ([], 0)

    def test_an_upload_that_must_wait_leaves_nothing(self, service: FileService):
        limit(service.app, max_queued=1)
        assert service.upload("/imports/banks", BANKS).status_code == 202
        refused = service.upload("/imports/banks", BANKS)
        is_problem(refused, 503, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (len(folders(service)), jobs()) == (1, 1)


def rows_of(service: FileService) -> str:
    """A file with one row for a model: every column it reads, all zero."""
    names = [column.name for column in service.app.extensions["models"].manifest("donor_availability").columns]
    return ",".join(names) + "\n" + ",".join("0" for _ in names) + "\n"
