"""Following jobs on a real API and a real worker: cut off and resumed, without a broker, and by many at once."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPResponse
from itertools import pairwise
from typing import Any

import pytest

from backend.jobs.events import Position
from backend.jobs.news import MOST_WAITING
from tests.integration.conftest import Valkey
from tests.integration.stack import Stack

STEADY = "tests.integration.steady"


@pytest.fixture
def api(stack: Stack) -> Stack:
    stack.migrate()
    stack.start_api(f"{STEADY}:create_api()")
    return stack


def submit(stack: Stack, **request: Any) -> str:
    answer = stack.call("POST", "/api/ml/steady", request)
    assert answer.status == 202, answer
    return str(answer.body["id"])


def opened(stack: Stack, job_id: str, last: str | None = None) -> HTTPResponse:
    headers = {} if last is None else {"Last-Event-ID": last}
    url = f"http://127.0.0.1:{stack.port}/api/ml/jobs/{job_id}/events"
    response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)
    return response


def events(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    """The events as they come in; leaving them closes the connection."""
    with closing(response):
        event: dict[str, Any] = {}
        for line in response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = json.loads(value) if name == "data" else value
            elif "data" in event:
                yield event
                event = {}


def told(heard: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Id and state of the moves."""
    return [(event["id"], event["data"]["state"]) for event in heard if event["event"] == "state"]


def test_a_job_is_followed_to_its_end_whatever_cuts_the_stream(api: Stack, valkey: Valkey):
    api.start_worker(
        "interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4, app=STEADY
    )
    api.start_beat()
    through_a_failure_and_again_from_where_it_was_cut(api)
    while_the_broker_stops(api, valkey)


def through_a_failure_and_again_from_where_it_was_cut(stack: Stack) -> None:
    job_id = submit(stack, steps=15, first_attempt_fails=True)
    heard = []
    for event in (stream := events(opened(stack, job_id))):
        heard.append(event)
        if event["event"] == "progress":
            break
    stream.close()
    rest = list(events(opened(stack, job_id, last=heard[-1]["id"])))
    moves = [("1", "queued"), ("2", "running"), ("3", "queued"), ("4", "running"), ("5", "succeeded")]
    assert told(heard + rest) == moves
    assert told(list(events(opened(stack, job_id)))) == moves, "also for who comes when all is over"
    positions = [Position.parse(event["id"]) for event in heard + rest]
    assert all(before < after or (before == after and before.permille >= 0) for before, after in pairwise(positions))
    assert any(event["event"] == "progress" and event["data"]["attempt"] == 2 for event in rest)
    again = stack.call("GET", f"/api/ml/jobs/{job_id}/events", headers={"Last-Event-ID": "5"})
    assert (again.status, again.body) == (204, "")


def while_the_broker_stops(stack: Stack, valkey: Valkey) -> None:
    stream = events(opened(stack, submit(stack, steps=15)))
    heard = [next(stream), next(stream)]
    assert heard[-1]["data"]["state"] == "running"
    valkey.stop()
    heard += stream
    assert told(heard) == [("1", "queued"), ("2", "running"), ("3", "succeeded")]
    assert "progress" in {event["event"] for event in heard}


def test_many_who_wait_leave_threads_for_others(api: Stack):
    job_id = submit(api)  # no worker: it stays queued
    with ExitStack() as streams:
        for _ in range(MOST_WAITING):
            stream = events(streams.enter_context(closing(opened(api, job_id))))
            assert next(stream)["data"]["state"] == "queued"
        refused = api.call("GET", f"/api/ml/jobs/{job_id}/events")
        assert (refused.status, refused.body["code"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) > 0
        for _ in range(10):
            started = time.monotonic()
            assert api.call("POST", "/api/ml/steady", {}, {"Prefer": "wait=20"}).status == 202
            assert api.call("GET", "/api/ml/health/live").status == 200
            assert time.monotonic() - started < 10, "nobody waited"
