"""Webhooks with real processes: what ends is announced once, and delivered however often it takes."""

import json
import signal
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from standardwebhooks import Webhook

from backend.webhooks import dispatch
from tests.integration.stack import Stack, wait_until
from tests.unit.webhooks.receiver import Receiver, receiving

WEBHOOKS = "/api/ml/webhooks"
JOBS = 40


@pytest.fixture
def served(stack: Stack) -> Stack:
    stack.env |= {"SANGUINE_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    stack.prepare(donors=50)
    stack.start_api()
    stack.start_workers()
    stack.start_beat()
    stack.wait_ready()
    return stack


@pytest.fixture
def engine(served: Stack) -> Iterator[Engine]:
    engine = create_engine(served.env["SANGUINE_DATABASE_URL"])
    yield engine
    engine.dispose()


def submit(stack: Stack) -> str:
    job = stack.call("POST", "/api/ml/predict_availability", {"donor_id": 1})
    assert job.status == 202, job
    job_id: str = job.body["id"]
    return job_id


def skip_pauses(engine: Engine) -> None:
    """Let what waits for its next attempt be tried now."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE job SET available_at = created_at, rung_at = NULL "
                "WHERE kind = 'platform.deliver_webhook' AND state = 'queued' AND attempt > 0"
            )
        )


def messages(receiver: Receiver, secret: str) -> dict[str, list[dict[str, Any]]]:
    """What was received, verified with the library of the standard, by `webhook-id`."""
    found = defaultdict(list)
    for received in receiver.received:
        found[received.headers["webhook-id"]].append(Webhook(secret).verify(received.body, received.headers))
    return found


def test_a_receiver_that_fails_twice_gets_the_same_message_a_third_time(served: Stack, engine: Engine):
    with receiving(500, 503, 200) as receiver:
        webhook = served.call("POST", WEBHOOKS, {"url": receiver.url()}).body
        job_id = submit(served)

        def received_three() -> bool:
            skip_pauses(engine)
            return len(receiver.received) >= 3

        wait_until(received_three, seconds=60, what=served.tail("interactive"))
        path = f"{WEBHOOKS}/{webhook['id']}/deliveries"

        def delivered() -> bool:
            return [one["state"] for one in served.call("GET", path).body["deliveries"]] == ["delivered"]

        wait_until(delivered, seconds=20, what=lambda: json.dumps(served.call("GET", path).body))
        (delivery,) = served.call("GET", path).body["deliveries"]
        assert [attempt["status"] for attempt in delivery["attempts"]] == [500, 503, 200]
        ((webhook_id, bodies),) = messages(receiver, webhook["secret"]).items()
        assert webhook_id == delivery["id"]
        assert bodies == 3 * [bodies[0]]
        assert bodies[0]["data"] == {
            "job_id": job_id,
            "kind": "blood.predict_availability",
            "state": "succeeded",
            "url": f"/api/ml/jobs/{job_id}",
        }
        assert served.call("GET", bodies[0]["data"]["url"]).body["state"] == "succeeded"


def test_every_end_is_announced_once_though_the_worker_is_killed(served: Stack, engine: Engine):
    with receiving(200) as receiver:
        webhook = served.call("POST", WEBHOOKS, {"url": receiver.url()}).body
        served.kill("interactive")
        jobs = [submit(served) for _ in range(JOBS)]
        for job_id in jobs[::4]:
            assert served.call("POST", f"/api/ml/jobs/{job_id}/cancel").body["state"] == "cancelled"

        for enough in (2, JOBS // 2):  # killed twice, in the middle of jobs and deliveries
            served.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)
            wait_until(
                lambda enough=enough: len(receiver.received) >= enough, seconds=60, what=served.tail("interactive")
            )
            served.kill("interactive", signal.SIGKILL)
        served.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)

        def all_delivered() -> bool:
            skip_pauses(engine)
            with engine.connect() as connection:
                unfinished = connection.scalar(text("SELECT count(*) FROM webhook_delivery WHERE delivered_at IS NULL"))
                return unfinished == 0 and len(messages(receiver, webhook["secret"])) == JOBS

        wait_until(all_delivered, seconds=90, what=lambda: f"{len(receiver.received)} received")
        announced = {
            body["data"]["job_id"]: body["type"]
            for bodies in messages(receiver, webhook["secret"]).values()
            for body in bodies
        }
        expected = {job_id: "job.cancelled" if n % 4 == 0 else "job.succeeded" for n, job_id in enumerate(jobs)}
        assert announced == expected
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM webhook_delivery")) == JOBS


def test_looking_for_ends_takes_the_index_that_the_migrations_made(stack: Stack):
    stack.migrate()
    engine = create_engine(stack.env["SANGUINE_DATABASE_URL"])
    query = dispatch._ANY.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # which it prefers for an empty table
            plan = connection.exec_driver_sql(f"EXPLAIN {query}").all()
        else:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
    engine.dispose()
    assert "ix_job_notify" in str(plan)
