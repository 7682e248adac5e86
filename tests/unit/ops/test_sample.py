import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from backend.errors import Unavailable
from backend.ops import sample
from backend.ops.sample import match_sample, read_schedules, tabulate, tabulate_schedules, wait_until_ready
from tests.unit.ops.conftest import ScriptedApi

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MATCH = {
    "rank": 1,
    "donor_id": 4711,
    "blood_group": "O-",
    "distance_km": 12.34,
    "match_score": 0.5,
    "match_score_low": 0.4,
    "match_score_high": 0.61,
    "availability_score": 0.7,
    "response_time_hours": 1.25,
    "reliability_score": 0.8,
}
RESULT = {
    "matches": [MATCH, {**MATCH, "rank": 2, "response_time_hours": None}],
    "ask": {"donors": 2, "probability": 0.957},
    "units_required": 2,
    "blood_group": "B+",
    "urgency": 3,
    "horizon_hours": 6.0,
}


def health(status: str, started: datetime) -> dict[str, object]:
    return {"status": status, "workers": [{"started_at": started.isoformat()}]}


def test_ready_is_when_all_is_well_with_workers_of_this_start_and_flower(api: ScriptedApi) -> None:
    api.script["/api/ml/health/ready"] = [
        (503, health("unavailable", NOW)),
        (200, health("degraded", NOW)),
        (200, health("ok", NOW - timedelta(seconds=1))),
        (200, health("ok", NOW)),
    ]
    api.script["/healthcheck"] = [(500, ""), (200, "OK")]
    wait_until_ready(api.url, api.url, since=NOW, check=lambda: None)
    asked = [request for request, _, _ in api.requests]
    assert asked == ["GET /api/ml/health/ready"] * 4 + ["GET /healthcheck"] * 2


def test_waiting_ends_when_a_process_has_ended() -> None:
    def check() -> None:
        raise Unavailable("the worker ended")

    with pytest.raises(Unavailable, match="the worker ended"):
        wait_until_ready("http://127.0.0.1:1", "http://127.0.0.1:1", since=NOW, check=check)


def test_waiting_has_a_limit_and_quotes_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "READY_SECONDS", 0.05)
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        wait_until_ready("http://127.0.0.1:1", "http://127.0.0.1:1", since=NOW, check=lambda: None)


def test_the_sample_waits_for_its_result_and_follows_the_location_when_that_takes_longer(api: ScriptedApi) -> None:
    api.script["/api/ml/match"] = [(202, {"state": "queued"})]
    api.script["/api/ml/jobs/7"] = [(200, {"state": "running"}), (200, {"state": "succeeded", "result": RESULT})]
    assert match_sample(api.url) == RESULT
    request, preference, body = api.requests[0]
    assert (request, preference, json.loads(body)) == ("POST /api/ml/match", "wait=10", sample.SAMPLE)


@pytest.mark.parametrize(
    "answer",
    [(404, {"title": "Not Found"}), (200, {"state": "dead", "error": "worker_lost"}), (503, {"title": "busy"})],
)
def test_a_sample_that_does_not_succeed_is_an_error_that_quotes_the_answer(
    api: ScriptedApi, answer: tuple[int, dict[str, str]]
) -> None:
    api.script["/api/ml/match"] = [answer]
    with pytest.raises(Unavailable, match=list(answer[1].values())[-1]):
        match_sample(api.url)


def test_the_table_fits_a_terminal_of_80_columns_and_shows_every_score() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(tabulate(RESULT))
    text = out.getvalue()
    for part in (
        "4711",
        "O-",
        "12.3",
        "0.50 (0.40-0.61)",
        "0.70",
        "1.2 h",
        "0.80",
        "asking 2 gives enough in 6 h",
        "0.96",
    ):
        assert part in text
    assert "…" not in text


def test_the_schedules_are_tabulated_with_their_next_run_in_their_zone(api: ScriptedApi) -> None:
    nightly = {
        "name": "nightly_reliability",
        "cron": "30 0 * * *",
        "timezone": "Asia/Kolkata",
        "next_at": "2026-01-01T19:00:00Z",
        "paused": False,
    }
    paused = {**nightly, "name": "weekly", "next_at": None, "paused": True}
    api.script["/api/ml/schedules"] = [(200, {"schedules": [nightly, paused]}), (503, {})]
    console = Console(file=io.StringIO(), width=80)
    console.print(tabulate_schedules(read_schedules(api.url)))
    first, second = [" ".join(line.split()) for line in console.file.getvalue().splitlines() if "Kolkata" in line]
    assert first == "nightly_reliability 30 0 * * * Asia/Kolkata Fri 2026-01-02 00:30"
    assert second.endswith("paused")
    with pytest.raises(Unavailable, match="503"):
        read_schedules(api.url)
