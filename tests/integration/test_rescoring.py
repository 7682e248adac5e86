"""Rescoring on a real batch worker that is killed in its middle: it goes on, and every donor is scored once."""

import signal
import time

from sqlalchemy import Engine, create_engine, text

from backend.domains.blood.reliability_jobs import CHUNK
from tests.integration.stack import Stack, wait_until

DONORS = 500  # with a history
COPIES = 120
ALL = DONORS * COPIES
RESCORE = "/api/ml/rescore_reliability"


def job(stack: Stack, job_id: str):
    return stack.call("GET", f"/api/ml/jobs/{job_id}").body


def scored(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM donor_reliability")) or 0)


def more_donors(engine: Engine) -> None:
    """Multiply the seeded donors, so that the job takes several chunks; only the first have a history."""
    columns = (
        "blood_group, sex, born_on, weight_kg, hemoglobin_g_dl, district, latitude, longitude, consented, "
        "deferred_until, registered_at, updated_at"
    )
    with engine.begin() as connection:
        for copy in range(1, COPIES):
            connection.execute(
                text(
                    f"INSERT INTO donor (id, {columns}) SELECT id + {copy * DONORS}, {columns} FROM donor "  # noqa: S608 - ours
                    f"WHERE id <= {DONORS}"
                )
            )


def test_a_rescoring_whose_worker_is_killed_goes_on_and_scores_every_donor_once(stack: Stack):
    stack.prepare(donors=DONORS)
    engine = create_engine(stack.env["SANGUINE_DATABASE_URL"])
    try:
        more_donors(engine)
        stack.start_api()
        stack.start_workers()
        stack.start_beat()
        stack.wait_ready()
        job_id = stack.call("POST", RESCORE, {}).body["id"]
        wait_until(lambda: scored(engine) > 0, seconds=30, what=stack.tail("batch"))
        stack.kill("batch", signal.SIGKILL)
        halfway = scored(engine)
        assert 0 < halfway < ALL, "killed in its middle"
        assert halfway % CHUNK == 0, "whole chunks only"
        assert job(stack, job_id)["state"] == "running"

        stack.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)
        wait_until(lambda: job(stack, job_id)["state"] == "succeeded", seconds=60, what=stack.tail("batch"))
        done = job(stack, job_id)
        assert (done["attempt"], done["progress"]) == (2, 1.0)
        result = done["result"]
        assert result["donors"] == ALL, "those of the first attempt were not scored again"
        assert 0 < result["with_commitments"] < DONORS
        with engine.connect() as connection:
            moments = connection.execute(text("SELECT as_of, count(*) FROM donor_reliability GROUP BY as_of")).all()
        assert [count for _, count in moments] == [ALL], "all as of the moment the job began"
        again_changes_nothing_and_others_write_meanwhile(stack, engine, result["as_of"])
        single_donors_are_answered(stack)
    finally:
        stack.stop()
        engine.dispose()


def again_changes_nothing_and_others_write_meanwhile(stack: Stack, engine: Engine, as_of: str) -> None:
    columns = "SELECT donor_id, mean, lower_10, n, commitments FROM donor_reliability ORDER BY donor_id"
    with engine.connect() as connection:
        before = connection.execute(text(columns)).all()
    job_id = stack.call("POST", RESCORE, {"as_of": as_of}).body["id"]
    slowest = 0.0
    while job(stack, job_id)["state"] != "succeeded":
        started = time.monotonic()
        answer = stack.call("POST", "/api/ml/predict_availability", {"donor_id": 1})
        slowest = max(slowest, time.monotonic() - started)
        assert answer.status == 202
        time.sleep(0.1)
    assert slowest < 5.0
    with engine.connect() as connection:
        assert connection.execute(text(columns)).all() == before


def single_donors_are_answered(stack: Stack) -> None:
    given = {"blood_group": "O+", "latitude": 9.97, "longitude": 76.28, "born_on": "1990-05-17"}
    for path in ("predict_availability", "predict_response_time"):
        answer = stack.call("POST", f"/api/ml/{path}", {"donors": [1, given]}, {"Prefer": "wait=20"})
        assert answer.body["state"] == "succeeded", answer.body
        donors = answer.body["result"]["donors"]
        assert [donor["donor_id"] for donor in donors] == [1, None]
        assert stack.call("POST", f"/api/ml/{path}", {"donor_id": 10**9}).status == 404
        unknown = stack.call("POST", f"/api/ml/{path}", {"donors": [1, 10**9]})
        assert (unknown.status, [error["field"] for error in unknown.body["errors"]]) == (422, ["donors.1"])
