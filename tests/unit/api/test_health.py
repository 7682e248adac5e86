from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.clock import utc_now
from backend.jobs.workers import DEAF_AFTER, register_worker, worker_seen


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    register("interactive@host", "interactive", "outbound", "maintenance")
    register("batch@host", "batch", "maintenance")
    return app.test_client()


def register(name: str, *queues: str) -> None:
    register_worker(name=name, pid=1, queues=list(queues), models={})


def hears_nothing(name: str) -> None:
    worker_seen(name, heard_at=utc_now() - DEAF_AFTER - timedelta(seconds=1))


def problems(client: FlaskClient) -> list[str]:
    ready = client.get("/api/ml/health/ready")
    assert ready.status_code == 200
    assert ready.json["status"] == ("degraded" if ready.json["problems"] else "ok")
    found: list[str] = ready.json["problems"]
    return found


def test_all_is_well_with_workers_that_hear(client: FlaskClient):
    assert problems(client) == []


def test_a_worker_that_hears_nothing_is_named_and_its_queue_is_not_served(client: FlaskClient):
    hears_nothing("batch@host")
    deaf, unserved = problems(client)
    assert deaf.startswith("worker batch@host has received nothing from the broker since 20")
    assert unserved == "no worker serves the queue batch"


def test_a_queue_with_one_worker_that_hears_is_served(client: FlaskClient):
    register("batch@other", "batch")
    hears_nothing("batch@host")
    (deaf,) = problems(client)
    assert "batch@host" in deaf


def test_it_says_when_each_worker_lived_and_heard(client: FlaskClient):
    hears_nothing("batch@host")
    workers = {worker["name"]: worker for worker in client.get("/api/ml/health").json["workers"]}
    assert workers["batch@host"]["heard_at"] < workers["batch@host"]["seen_at"]
    assert workers["interactive@host"]["heard_at"] == workers["interactive@host"]["seen_at"]
