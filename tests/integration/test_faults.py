"""No job is lost: a worker killed in the middle of one, a broker stopped and wiped, a database that goes away."""

import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.integration.conftest import Valkey
from tests.integration.proxy import Proxy
from tests.integration.stack import Stack, wait_until

MATCH = {
    "request": {"blood_group": "B+", "latitude": 10.0, "longitude": 76.3, "urgency": 4, "units_required": 2},
    "top_k": 5,
    "radius_km": 100,
}


def submit(stack: Stack) -> str:
    answer = stack.call("POST", "/api/ml/match", MATCH, timeout=5)
    assert answer.status == 202, answer
    return str(answer.body["id"])


def job(stack: Stack, job_id: str):
    answer = stack.call("GET", f"/api/ml/jobs/{job_id}")
    assert answer.status == 200, answer
    return answer.body


def wait_for_success(stack: Stack, job_ids: list[str], *, seconds: float = 60) -> None:
    def unfinished():
        return [
            (j["id"], j["state"], j["error"]) for j in (job(stack, i) for i in job_ids) if j["state"] != "succeeded"
        ]

    wait_until(lambda: not unfinished(), seconds=seconds, what=lambda: str(unfinished()))


def effects(stack: Stack, job_ids: list[str]) -> dict[str, int]:
    """How often each job's effect (its row in the prediction log of the match model) was committed."""
    engine = create_engine(stack.env["SANGUINE_DATABASE_URL"])
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT job_id, count(*) FROM model_prediction_log WHERE model = 'donor_seeker_match' GROUP BY job_id")
        )
        counted = {str(job_id).replace("-", ""): count for job_id, count in rows}
    engine.dispose()
    return {i: counted.get(i.replace("-", ""), 0) for i in job_ids}


def waits_for_a_table(engine: Engine) -> bool:
    """Whether somebody waits for `model_prediction_log`: the last statement of a job's last transaction."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'model_prediction_log'::regclass"
    with engine.connect() as connection:
        return bool(connection.scalar(text(waiting)))


@pytest.fixture
def running(stack: Stack) -> Stack:
    stack.prepare(donors=500)
    stack.start_api()
    stack.start_workers()
    stack.start_beat()
    stack.wait_ready()
    return stack


def test_jobs_survive_a_killed_worker_and_a_wiped_broker(running: Stack, valkey: Valkey):
    job_ids = [submit(running) for _ in range(60)]
    wait_until(lambda: any(job(running, i)["state"] == "succeeded" for i in job_ids[:10]), seconds=20)
    running.kill("interactive", signal.SIGKILL)

    job_ids += [submit(running) for _ in range(20)]
    valkey.stop()  # without persistence: every ring is gone
    started = time.monotonic()
    job_ids.append(submit(running))
    assert time.monotonic() - started < 1.0, "a dead broker costs the caller at most a second"
    health = running.call("GET", "/api/ml/health/ready")
    assert (health.status, health.body["status"], health.body["broker"]) == (200, "degraded", False)

    valkey.start()
    running.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)
    wait_for_success(running, job_ids)
    assert set(effects(running, job_ids).values()) == {1}, "each job's effect exactly once"


def test_a_job_whose_worker_is_killed_in_its_middle_runs_again_exactly_once(
    tmp_path: Path, postgresql: str, valkey: Valkey
):
    stack = Stack(tmp_path, database_url=postgresql, broker_url=valkey.url)
    engine = create_engine(postgresql)
    try:
        stack.prepare(donors=500)
        stack.start_api()
        stack.start_workers()
        stack.start_beat()
        stack.wait_ready()
        with engine.connect() as holding:
            # the log is written with the result, so a job that waits for this lock is in its middle
            holding.execute(text("LOCK TABLE model_prediction_log IN EXCLUSIVE MODE"))
            job_id = submit(stack)
            wait_until(lambda: job(stack, job_id)["state"] == "running", seconds=20)
            stack.kill("interactive", signal.SIGKILL)
            assert job(stack, job_id)["state"] == "running"
        stack.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)
        wait_for_success(stack, [job_id])
        assert job(stack, job_id)["attempt"] == 2
        assert effects(stack, [job_id]) == {job_id: 1}
    finally:
        stack.stop()
        engine.dispose()


def test_a_worker_that_slept_past_its_lease_changes_nothing(tmp_path: Path, postgresql: str, valkey: Valkey):
    stack = Stack(tmp_path, database_url=postgresql, broker_url=valkey.url)
    engine = create_engine(postgresql)
    try:
        stack.prepare(donors=500)
        stack.start_api()
        stack.start_workers()
        stack.start_beat()
        stack.wait_ready()
        with engine.connect() as holding:
            holding.execute(text("LOCK TABLE model_prediction_log IN EXCLUSIVE MODE"))
            job_id = submit(stack)
            wait_until(lambda: waits_for_a_table(engine), seconds=20)
            stack.signal("interactive", signal.SIGSTOP)  # asleep with the job's row locked
        stack.start_worker("second", queues="interactive,outbound,maintenance", pool="threads", concurrency=2)
        wait_for_success(stack, [job_id])
        stack.signal("interactive", signal.SIGCONT)
        late = submit(stack)
        wait_for_success(stack, [late])
        assert effects(stack, [job_id]) == {job_id: 1}
    finally:
        stack.stop()
        engine.dispose()


def test_a_database_that_goes_away_is_said_and_needs_no_restart(tmp_path: Path, postgresql: str, valkey: Valkey):
    url = create_engine(postgresql).url
    target = (url.host or "127.0.0.1", url.port or 5432)
    unix = url.query.get("host")
    with Proxy(f"{unix}/.s.PGSQL.{url.port or 5432}" if isinstance(unix, str) else target) as proxy:
        proxied = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
        stack = Stack(tmp_path, database_url=proxied, broker_url=valkey.url)
        try:
            stack.prepare(donors=200)
            stack.start_api()
            stack.start_workers()
            stack.start_beat()
            stack.wait_ready()
            proxy.cut()
            refused = stack.call("POST", "/api/ml/match", MATCH)
            assert (refused.status, refused.body["code"]) == (503, "unavailable")
            assert refused.headers["Retry-After"]
            unready = stack.call("GET", "/api/ml/health/ready")
            assert (unready.status, unready.body["database"]) == (503, False)
            assert stack.call("GET", "/api/ml/health/live").status == 200
            proxy.mend()
            stack.wait_ready()
            wait_for_success(stack, [submit(stack)])
        finally:
            stack.stop()
