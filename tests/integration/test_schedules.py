"""Schedules with real beats and a real worker, on SQLite and PostgreSQL."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, update

from backend.app import create_app
from backend.extensions import db, transaction
from backend.jobs.schedules.tables import JobSchedule
from backend.settings import Settings
from tests.integration.conftest import Valkey
from tests.integration.proxy import Proxy
from tests.integration.stack import Stack, wait_until

URL = "/api/ml/schedules/nightly_cleanup"
EVERY_SECOND = "* * * * * *"


@pytest.fixture
def running(stack: Stack) -> Stack:
    stack.migrate()
    stack.start_api()
    return stack


@pytest.fixture
def app(stack: Stack, tmp_path: Path) -> Iterator[Flask]:
    """This test's own way into the database of the stack."""
    url = stack.env["SANGUINE_DATABASE_URL"]
    app = create_app(Settings(database_url=url, data_dir=tmp_path, log_level="ERROR", _env_file=None), ())
    with app.app_context():
        yield app
        db.engine.dispose()


def firings(stack: Stack):
    return stack.call("GET", f"{URL}/firings?limit=500").body["firings"]


def started(stack: Stack):
    return [one for one in firings(stack) if one["outcome"] == "started"]


def jobs(stack: Stack):
    return stack.call("GET", "/api/ml/jobs?kind=platform.cleanup&limit=500").body["jobs"]


def patch(stack: Stack, **changes):
    answer = stack.call("PATCH", URL, changes)
    assert answer.status == 200, answer
    return answer.body


def make_due(*, ago: timedelta) -> None:
    with transaction() as session:
        moment = datetime.now(UTC).replace(microsecond=0) - ago
        session.execute(update(JobSchedule).where(JobSchedule.name == "nightly_cleanup").values(next_at=moment))


def test_two_beats_start_each_fire_time_once_and_the_jobs_run(running: Stack):
    running.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)
    running.start_beat("beat")
    running.start_beat("beat2")
    patch(running, cron=EVERY_SECOND)
    wait_until(lambda: len(started(running)) >= 4, seconds=60, what=running.tail("beat"))
    busy = "beat" if "schedule_fired" in running.tail("beat")() else "beat2"
    running.kill(busy)
    so_far = len(started(running))
    wait_until(lambda: len(started(running)) >= so_far + 2, seconds=30, what=running.tail("beat2"))
    paused = patch(running, paused=True)
    assert paused["next_at"] is None
    wait_until(lambda: {job["state"] for job in jobs(running)} == {"succeeded"}, seconds=30, what=running.tail("batch"))
    found = firings(running)
    assert set(Counter(one["fire_at"] for one in found).values()) == {1}
    assert {one["outcome"] for one in found} <= {"started", "skipped_overlap"}
    assert {job["id"] for job in jobs(running)} == {one["job_id"] for one in started(running)}
    assert "Traceback" not in running.tail("beat")() + running.tail("beat2")()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_run_missed_while_no_beat_ran_is_caught_up_once_or_recorded_as_missed(running: Stack, app: Flask):
    assert patch(running, cron="0 0 1 1 *")["catch_up_seconds"] == 6 * 3600
    for hours, outcome in ((7, "missed"), (1, "started")):
        known = len(firings(running))
        make_due(ago=timedelta(hours=hours))
        running.start_beat()
        wait_until(lambda so_far=known: len(firings(running)) > so_far, seconds=30, what=running.tail("beat"))
        running.kill("beat")
        assert firings(running)[0]["outcome"] == outcome
    assert [job["id"] for job in jobs(running)] == [firings(running)[0]["job_id"]]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_schedule_fires_while_the_broker_is_away_and_its_job_runs_when_it_is_back(
    running: Stack, app: Flask, valkey: Valkey
):
    running.start_beat()
    wait_until(lambda: "beat: Starting" in running.tail("beat")(), seconds=30)
    valkey.stop()
    patch(running, timezone="Europe/London")
    make_due(ago=timedelta(seconds=1))
    wait_until(lambda: len(started(running)) == 1, seconds=15, what=running.tail("beat"))
    valkey.start()
    running.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)
    wait_until(lambda: jobs(running)[0]["state"] == "succeeded", seconds=60, what=running.tail("batch"))


def test_a_database_that_goes_away_does_not_end_beat(tmp_path: Path, postgresql: str, valkey: Valkey):
    url = create_engine(postgresql).url
    unix = url.query.get("host")
    target = (url.host or "127.0.0.1", url.port or 5432)
    with Proxy(f"{unix}/.s.PGSQL.{url.port or 5432}" if isinstance(unix, str) else target) as proxy:
        proxied = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
        stack = Stack(tmp_path, database_url=proxied, broker_url=valkey.url)
        try:
            stack.migrate()
            stack.start_api()
            stack.start_beat()
            patch(stack, cron=EVERY_SECOND)
            wait_until(lambda: firings(stack) != [], seconds=30, what=stack.tail("beat"))
            proxy.cut()
            wait_until(lambda: "beat_cannot_fire" in stack.tail("beat")(), seconds=30, what=stack.tail("beat"))
            proxy.mend()
            wait_until(lambda: stack.call("GET", URL).status == 200, seconds=30)
            before = len(firings(stack))
            wait_until(lambda: len(firings(stack)) > before, seconds=30, what=stack.tail("beat"))
            assert stack.processes["beat"].poll() is None
        finally:
            stack.stop()
