"""The events of a job over HTTP."""

import json
from datetime import timedelta
from unittest.mock import ANY
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.extensions import transaction
from backend.jobs import finish
from backend.jobs.claim import claim
from backend.jobs.events import Position
from backend.jobs.execute import execute
from backend.jobs.news import MOST_WAITING
from backend.jobs.submit import submit
from backend.jobs.tables import Job
from tests.unit.conftest import Number


def address(job_id) -> str:
    return f"/api/ml/jobs/{job_id}/events"


@pytest.fixture
def get(app: Flask):
    client = app.test_client()

    def get(job_id, last: str | None = None, method: str = "GET"):
        headers = {} if last is None else {"Last-Event-ID": last}
        return client.open(address(job_id), method=method, headers=headers)

    return get


@pytest.fixture
def ended(kind, worker, doorbell):
    job = submit(kind, Number(value=21))
    execute(kind, job.id, worker)
    return job.id


@pytest.fixture
def running(kind, doorbell):
    job = submit(kind, Number(value=21))
    (held,) = claim(kind, job.id, worker="ward-7-server/123", lease=timedelta(minutes=1))
    return held


def blocks(text: str) -> list[dict[str, str]]:
    """The blocks of a stream, as WHATWG HTML 9.2.6 reads them."""
    return [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in text.removesuffix("\n\n").split("\n\n")
    ]


def ids(answer) -> list[str]:
    return [block["id"] for block in blocks(answer.text)[1:]]


def test_the_stream_of_a_job_that_has_ended_tells_its_life_and_ends(get, ended):
    answer = get(ended)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    retry, *events = blocks(answer.text)
    assert retry == {"retry": "2000"}
    assert [(event["id"], event["event"]) for event in events] == [("1", "state"), ("2", "state"), ("3", "state")]
    data = [json.loads(event["data"]) for event in events]
    assert [one["state"] for one in data] == ["queued", "running", "succeeded"]
    said = {"job_id": str(ended), "state": "succeeded", "attempt": 1, "progress": 1.0, "note": None}
    assert data[-1] == said | {"cancelling": False, "at": ANY, "outcome": "succeeded", "error_code": None}


def test_neither_the_message_of_an_error_nor_the_worker_is_told(get, running):
    finish.fail(running, code="bad_artifact", message="the message")
    answer = get(running.job_id)
    assert json.loads(blocks(answer.text)[-1]["data"])["error_code"] == "bad_artifact"
    assert "the message" not in answer.text
    assert "ward-7-server" not in answer.text


def test_a_client_that_comes_back_is_told_what_it_missed(get, ended):
    assert ids(get(ended, last="1")) == ["2", "3"]
    assert ids(get(ended, last="2.350")) == ["3"]


def test_a_client_that_had_the_last_event_is_told_to_stay_away(get, ended):
    answer = get(ended, last="3")
    assert (answer.status_code, answer.data) == (204, b"")


def test_the_events_of_an_unknown_job_are_not_found(get, app):
    answer = get(uuid4())
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def assert_refused(answer) -> None:
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    (error,) = answer.json["errors"]
    assert error["field"] == "Last-Event-ID"


@pytest.mark.parametrize("last", ["", "x", "0", "1.", "2.1001", "-1"])
def test_what_is_no_id_is_refused_with_the_form_that_one_has(get, ended, last):
    answer = get(ended, last=last)
    assert_refused(answer)
    assert "<number>.<permille>" in answer.json["errors"][0]["reason"]


@pytest.mark.parametrize("last", ["4", "1.500", "3.1", "9999999999"])
def test_what_is_the_id_of_no_event_of_the_job_is_refused(get, ended, last):
    assert_refused(get(ended, last=last))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(last=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12))
def test_whatever_is_no_id_is_refused(get, ended, last):
    if Position.parse(last.strip()) is None:
        assert_refused(get(ended, last=last))


def test_a_running_job_is_followed_to_its_end(get, app, running):
    answer = get(running.job_id)
    with answer:
        stream = iter(answer.response)
        assert [next(stream).split(b"\n")[0] for _ in range(3)] == [b"retry: 2000", b"id: 1", b"id: 2"]
        with transaction() as session:
            session.get(Job, running.job_id).progress = 0.5
        assert next(stream).startswith(b"id: 2.500\nevent: progress\n")
        finish.fail(running, code="bad_artifact", message="")
        assert next(stream).startswith(b"id: 3\nevent: state\n")
        assert list(stream) == []


def test_whoever_leaves_makes_room_also_when_nothing_was_read(get, app, running):
    watches = app.extensions["news"]._watches
    with get(running.job_id) as answer:
        next(iter(answer.response))
        assert len(watches) == 1
    assert watches == set()
    get(running.job_id).close()
    assert watches == set()
    get(running.job_id, method="HEAD").close()
    assert watches == set()


def test_beyond_the_most_that_may_wait_a_stream_is_refused_for_a_while(get, app, running):
    places = [app.extensions["news"].expected(uuid4()) for _ in range(MOST_WAITING)]
    for place in places:
        place.__enter__()
    answer = get(running.job_id)
    assert (answer.status_code, answer.json["code"]) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) > 0
    for place in places:
        place.__exit__(None, None, None)
