"""Drift measured by a real batch worker, on SQLite and PostgreSQL, and read back over HTTP."""

from tests.integration.stack import Stack

DRIFT = "/api/ml/drift"
DONORS = 600


def test_drift_is_measured_by_a_job_and_read_column_by_column(stack: Stack):
    stack.prepare(donors=DONORS)
    stack.start_api()
    stack.start_workers()
    stack.wait_ready()
    assert stack.call("GET", DRIFT).status == 404
    done = stack.call("POST", DRIFT, {}, {"Prefer": "wait=30"}, timeout=40)
    assert (done.status, done.body["state"]) == (200, "succeeded"), stack.tail("batch")()
    models = {model["model"]: model for model in done.body["result"]["models"]}
    report = stack.call("GET", f"{DRIFT}?model=donor_seeker_match").body
    assert report["job_id"] == done.body["id"]
    assert len(report["columns"]) == models["donor_seeker_match"]["columns"] == 26
    assert {row["n"] for row in report["columns"]} == {models["donor_seeker_match"]["n"]}
    assert models["donor_seeker_match"]["n"] > 100
    assert len(stack.call("GET", DRIFT).body["columns"]) == sum(model["columns"] for model in models.values())
