"""Schedules over HTTP."""

from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.clock import utc_now
from backend.jobs.schedules.book import ScheduleBook
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.fire import fire_due
from backend.jobs.schedules.views import get_schedule

URL = "/api/ml/schedules"


@pytest.fixture
def book(app: Flask, kind) -> ScheduleBook:
    schedule = Schedule(name="nightly", kind=kind.name, cron="30 0 * * *", request={"value": 1})
    app.extensions["schedules"] = ScheduleBook([schedule], [kind], timezone="Asia/Kolkata")
    return app.extensions["schedules"]


@pytest.fixture
def client(app: Flask, book) -> FlaskClient:
    return app.test_client()


def test_the_schedules_are_listed_with_their_next_run_before_any_beat_has_started(client: FlaskClient):
    (found,) = client.get(URL).json["schedules"]
    assert found == client.get(f"{URL}/nightly").json
    assert (found["name"], found["cron"], found["timezone"]) == ("nightly", "30 0 * * *", "Asia/Kolkata")
    assert found["next_at"].endswith("T19:00:00Z")
    assert utc_now() < datetime.fromisoformat(found["next_at"]) <= utc_now() + timedelta(days=1)
    assert (found["last_at"], found["last_outcome"], found["last_job"]) == (None, None, None)


def test_a_schedule_can_be_changed_and_put_back(client: FlaskClient):
    changed = client.patch(f"{URL}/nightly", json={"cron": "15 6 * * 1-5", "timezone": "Europe/London", "paused": True})
    assert changed.status_code == 200
    assert (changed.json["cron"], changed.json["paused"], changed.json["next_at"]) == ("15 6 * * 1-5", True, None)
    assert changed.json["changed"] == ["cron", "timezone"]
    back = client.patch(f"{URL}/nightly", json={"cron": None, "timezone": None, "paused": False}).json
    assert (back["cron"], back["timezone"], back["changed"]) == ("30 0 * * *", "Asia/Kolkata", [])
    assert back["next_at"] is not None


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"cron": "61 * * * *"}, "cron", "bad minute"),
        ({"cron": "every night"}, "cron", "wrong number of fields"),
        ({"cron": 5}, "cron", "string"),
        ({"timezone": "Asia/Atlantis"}, "timezone", "unknown time zone"),
        ({"timezone": "America"}, "timezone", "unknown time zone"),
        ({"timezone": "../etc/passwd"}, "timezone", "unknown time zone"),
        ({"catch_up_seconds": -1}, "catch_up_seconds", "greater than or equal to 0"),
        ({"catch_up_seconds": 10**9}, "catch_up_seconds", "less than or equal to"),
        ({"paused": None}, "paused", "boolean"),
        ({"kind": "test.double"}, "kind", "not permitted"),
        ({}, "", "at least one"),
    ],
)
def test_bad_input_says_where_and_changes_nothing(client: FlaskClient, body, field, reason):
    before = client.get(f"{URL}/nightly").json
    good = {"paused": True} if body else {}
    response = client.patch(f"{URL}/nightly", json=good | body)
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    (error,) = response.json["errors"]
    assert error["field"] == field
    assert reason in error["reason"]
    assert client.get(f"{URL}/nightly").json == before


@pytest.mark.parametrize(("method", "path"), [("get", ""), ("patch", ""), ("post", "/run"), ("get", "/firings")])
def test_an_unknown_schedule_is_a_404(client: FlaskClient, method, path):
    response = client.open(f"{URL}/weekly{path}", method=method.upper(), json={"paused": True})
    assert (response.status_code, response.json["code"]) == (404, "not_found")


def test_run_now_is_a_202_with_the_job_and_a_409_until_it_is_finished(client: FlaskClient):
    response = client.post(f"{URL}/nightly/run")
    assert response.status_code == 202
    job = client.get(response.headers["Location"]).json
    assert (job["kind"], job["state"]) == ("test.double", "queued")
    found = client.get(f"{URL}/nightly").json
    assert (found["last_outcome"], found["last_job"]["id"], found["last_job"]["state"]) == (
        "manual",
        job["id"],
        "queued",
    )
    again = client.post(f"{URL}/nightly/run")
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    client.post(f"{response.headers['Location']}/cancel")
    assert client.post(f"{URL}/nightly/run").status_code == 202


def test_the_history_is_paged_newest_first(client: FlaskClient, book):
    first = get_schedule(book, "nightly", now=utc_now()).next_at
    for day in range(5):
        fire_due(book, now=first + timedelta(days=day))
    page = client.get(f"{URL}/nightly/firings?limit=3").json
    rest = client.get(f"{URL}/nightly/firings", query_string={"before": page["next_before"]}).json
    times = [one["fire_at"] for one in page["firings"] + rest["firings"]]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)
    assert [one["outcome"] for one in rest["firings"]] == ["skipped_overlap", "started"]
    assert rest["next_before"] is None
    refused = client.get(f"{URL}/nightly/firings?limit=0&before=yesterday")
    assert {error["field"] for error in refused.json["errors"]} == {"limit", "before"}
