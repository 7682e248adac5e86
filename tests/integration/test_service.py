"""What a user asks of a running service, end to end on real workers, on SQLite and PostgreSQL."""

import itertools
from base64 import b64encode

import pytest

from backend.ops.flower import PASSWORD_FILE
from tests.integration.stack import Stack, wait_until

INLINE = {"blood_group": "B+", "latitude": 10.0, "longitude": 76.3, "urgency": 3, "units_required": 2}
WAIT = {"Prefer": "wait=20"}


@pytest.fixture
def running(stack: Stack) -> Stack:
    stack.prepare(donors=2000)
    stack.start_api()
    stack.start_workers()
    stack.start_beat()
    stack.wait_ready()
    return stack


def match(stack: Stack, body, **changes):
    answer = stack.call("POST", "/api/ml/match", {**body, **changes}, WAIT)
    assert answer.status == 200, answer
    assert answer.body["state"] == "succeeded", answer.body
    return answer.body


def problem(stack: Stack, body, status: int, field: str | None = None, *, path: str = "/api/ml/match"):
    before = len(stack.call("GET", "/api/ml/jobs?limit=500").body["jobs"])
    answer = stack.call("POST", path, body)
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    if field is not None:
        assert field in [error["field"] for error in answer.body["errors"]], answer.body
    assert len(stack.call("GET", "/api/ml/jobs?limit=500").body["jobs"]) == before, "nothing is stored"


def test_everything_is_answered_saved_and_refused_as_promised(running: Stack):
    forecast_id = forecasts_are_refused_or_begun(running)
    ranked_by_probability(running)
    saved_predictions_can_be_read(running)
    urgency_never_lowers_a_score(running)
    nobody_compatible_is_a_success_with_a_reason(running)
    bad_input_is_refused_and_not_stored(running)
    flower_shows_the_worker_and_the_kind_and_nobody_s_data(running)
    forecasts_are_coherent_and_read_by_cell(running, forecast_id)
    drift_is_measured_and_read_column_by_column(running)


def ranked_by_probability(stack: Stack) -> None:
    result = match(stack, {"request": INLINE, "top_k": 10, "radius_km": 100})["result"]
    matches = result["matches"]
    assert [m["rank"] for m in matches] == list(range(1, 11))
    for m in matches:
        assert m["blood_group"] in {"B+", "B-", "O+", "O-"}
        assert 0 <= m["match_score_low"] <= m["match_score"] <= m["match_score_high"] <= 1
        assert 0 <= m["availability_score"] <= 1
        assert 0 <= m["reliability_score"] <= 1
        assert m["distance_km"] <= 100
        assert m["reasons"]
        assert not {"name", "phone"} & set(m)
    assert 1 <= result["ask"]["donors"] <= result["ask"]["pool"]
    assert result["ask"]["reached"] == (result["ask"]["probability"] >= result["ask"]["target"] == 0.95)
    again = match(stack, {"request": INLINE, "top_k": 10, "radius_km": 100})["result"]
    assert [m["donor_id"] for m in again["matches"]] == [m["donor_id"] for m in matches]


def saved_predictions_can_be_read(stack: Stack) -> None:
    request_id = 1  # the seed leaves it open
    job = match(stack, {"request_id": request_id, "top_k": 7, "radius_km": 200, "save_predictions": True})
    history = stack.call("GET", f"/api/ml/predictions/history?request_id={request_id}&limit=5").body
    assert [p["rank"] for p in history["predictions"]] == [7, 6, 5, 4, 3]
    assert {p["job_id"] for p in history["predictions"]} == {job["id"]}
    rest = stack.call(
        "GET", f"/api/ml/predictions/history?request_id={request_id}&before_id={history['next_before_id']}"
    ).body
    assert [p["rank"] for p in rest["predictions"]] == [2, 1]
    assert stack.call("GET", "/api/ml/predictions/history?request_id=999999999").status == 404


def urgency_never_lowers_a_score(stack: Stack) -> None:
    scores = []
    for urgency in (1, 2, 3, 4):
        request = INLINE | {"urgency": urgency}
        result = match(stack, {"request": request, "top_k": 500, "radius_km": 30})["result"]
        scores.append({m["donor_id"]: m["match_score"] for m in result["matches"]})
    for calmer, more_urgent in itertools.pairwise(scores):
        shared = calmer.keys() & more_urgent.keys()
        assert shared
        assert all(more_urgent[donor] >= calmer[donor] - 1e-12 for donor in shared)


def nobody_compatible_is_a_success_with_a_reason(stack: Stack) -> None:
    far = match(stack, {"request": INLINE | {"latitude": -60.0}})["result"]
    assert (far["matches"], far["reason"]) == ([], "no donor is registered within 35 km")
    assert far["ask"] == {"donors": 0, "pool": 0, "probability": 0.0, "target": 0.95, "reached": False}
    bombay = match(stack, {"request": INLINE | {"blood_group": "Oh"}, "radius_km": 20})["result"]
    assert all(m["blood_group"] == "Oh" for m in bombay["matches"])
    if not bombay["matches"]:
        assert "Oh" in bombay["reason"] or "may be asked" in bombay["reason"]


def bad_input_is_refused_and_not_stored(stack: Stack) -> None:
    problem(stack, {"request_id": 999_999_999}, 404)
    problem(stack, {"request": INLINE, "top_k": 0}, 422, "top_k")
    problem(stack, {"request": INLINE, "top_k": 1_000_000}, 422, "top_k")
    problem(stack, {"request": INLINE | {"latitude": 95}}, 422, "request.latitude")
    problem(stack, {"request": INLINE | {"blood_group": "C+"}}, 422, "request.blood_group")
    problem(stack, {"request": INLINE | {"needed_by": "2020-01-01T00:00:00Z"}}, 422, "request.needed_by")
    problem(stack, {"request": INLINE, "request_id": 1}, 422, "")
    problem(stack, {"request": INLINE, "surprise": 1}, 422, "surprise")
    problem(stack, {"request": INLINE, "padding": "x" * 50_000_000}, 413)


def flower_shows_the_worker_and_the_kind_and_nobody_s_data(stack: Stack) -> None:
    port = stack.start_flower()
    wait_until(
        lambda: stack.call("GET", "/healthcheck", port=port).status == 200, seconds=30, what=stack.tail("flower")
    )
    password = (stack.root / PASSWORD_FILE).read_text().strip()

    def page(path: str) -> str:
        answer = stack.call("GET", path, headers=basic(f"admin:{password}"), port=port)
        assert answer.status == 200, answer
        return str(answer.body)

    table = "/tasks/datatable?draw=1&start=0&length=50&search[value]=&order[0][column]=0&order[0][dir]=desc"
    table += "&columns[0][data]=received"
    for path in ("/", "/workers", "/tasks", table, "/api/workers", "/api/tasks"):
        assert stack.call("GET", path, port=port).status == 401, path
        assert stack.call("GET", path, headers=basic("admin:"), port=port).status == 401, path
    assert stack.call("GET", "/workers", headers=basic("admin:guess"), port=port).status == 401
    assert "127.0.0.1" in stack.tail("flower")()
    wait_until(lambda: "interactive@test" in page("/workers"), seconds=30, what=stack.tail("flower"))
    job = match(stack, {"request": INLINE | {"latitude": 9.876543}})
    wait_until(lambda: job["id"] in page(table), seconds=15, what=lambda: page(table))
    tasks = stack.call("GET", table, headers=basic(f"admin:{password}"), port=port).body["data"]
    # Of the forecast, which was sent before Flower started, it heard only that it went on.
    shown = [task for task in tasks if job["id"] in (task["args"] or "")]
    assert [(task["name"], task["args"], task["kwargs"]) for task in shown] == [
        ("blood.match", f"('{job['id']}',)", "{}")
    ]
    assert "9.876543" not in page(table)


def basic(login: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(login.encode()).decode()}


FORECASTS = "/api/ml/forecasts"
HORIZON = 3


def forecasts_are_refused_or_begun(stack: Stack) -> str:
    assert stack.call("GET", FORECASTS).status == 404
    for horizon in (0, 5_000):
        problem(stack, {"horizon_days": horizon}, 422, "horizon_days", path=FORECASTS)
    for query, field in (("district=Atlantis", "district"), ("blood_group=C%2B", "blood_group"), ("from=soon", "from")):
        answer = stack.call("GET", f"{FORECASTS}?{query}")
        assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (422, [field])
    begun = stack.call("POST", FORECASTS, {"horizon_days": HORIZON})
    assert begun.status == 202
    return str(begun.body["id"])


def forecasts_are_coherent_and_read_by_cell(stack: Stack, job_id: str) -> None:
    def job():
        return stack.call("GET", f"/api/ml/jobs/{job_id}").body

    wait_until(lambda: job()["state"] == "succeeded", seconds=120, what=stack.tail("batch"))
    result = job()["result"]
    assert result["source"] == "history"
    scores = {"model": result["backtest"]["model"], **result["backtest"]["baselines"]}
    assert set(scores) == {"model", "seasonal_naive", "weekday_mean_8w", "weekday_level_28d"}
    for one in scores.values():
        assert set(one) == {"mase", "wape", "pinball", "coverage_80", "coverage_95"}
        assert None not in one.values()
    cells = stack.call("GET", FORECASTS).body
    assert cells["job_id"] == job_id
    assert len(cells["forecasts"]) == 14 * 8 * HORIZON
    day = result["last_day"]
    (state,) = stack.call("GET", f"{FORECASTS}?district=all&blood_group=all&from={day}").body["forecasts"]
    assert state["units"] == pytest.approx(sum(c["units"] for c in cells["forecasts"] if c["day"] == day))
    assert 0 <= state["low_95"] <= state["low_80"] < state["units"] < state["high_80"] <= state["high_95"]


def drift_is_measured_and_read_column_by_column(stack: Stack) -> None:
    path = "/api/ml/drift"
    assert stack.call("GET", path).status == 404
    done = stack.call("POST", path, {}, {"Prefer": "wait=30"}, timeout=40)
    assert (done.status, done.body["state"]) == (200, "succeeded"), stack.tail("batch")()
    models = {model["model"]: model for model in done.body["result"]["models"]}
    report = stack.call("GET", f"{path}?model=donor_seeker_match").body
    assert report["job_id"] == done.body["id"]
    assert len(report["columns"]) == models["donor_seeker_match"]["columns"] == 26
    assert {row["n"] for row in report["columns"]} == {models["donor_seeker_match"]["n"]}
    assert models["donor_seeker_match"]["n"] > 200
    assert len(stack.call("GET", path).body["columns"]) == sum(model["columns"] for model in models.values())
