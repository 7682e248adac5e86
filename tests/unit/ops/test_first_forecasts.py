import io
from typing import Any

import pytest
from rich.console import Console

from backend.ops.first_forecasts import FirstForecasts
from tests.unit.ops.conftest import ScriptedApi

FORECASTS = "/api/ml/forecasts?district=all&blood_group=all"
RUN = "/api/ml/schedules/weekly_forecasts/run"
SCHEDULE = "/api/ml/schedules/weekly_forecasts"
JOB = "/api/ml/jobs/9"
DAY = {"day": "2026-03-04", "units": 8.25, "low_80": 3.0, "high_80": 14.0, "low_95": 1.0, "high_95": 19.0}
BACKTEST = {
    "model": {"mase": 0.71},
    "baselines": {"seasonal_naive": {"mase": 0.98}, "weekday_mean_8w": {"mase": None}},
    "origins": ["2026-01-01", "2026-01-31"],
}
RESULT = {
    "source": "history",
    "history_days": 1400,
    "state": [DAY] * 30,
    "backtest": BACKTEST,
    "no_backtest": None,
}
DONE = {"state": "succeeded", "progress": 1.0, "result": RESULT}


def look(api: ScriptedApi, times: int) -> tuple[FirstForecasts, str]:
    out = io.StringIO()
    forecasts = FirstForecasts(api.url, Console(file=out, width=80))
    for _ in range(times):
        forecasts.look()
    return forecasts, out.getvalue()


def running(progress: float) -> tuple[int, dict[str, Any]]:
    return 200, {"state": "running", "progress": progress}


def test_without_any_forecast_the_schedule_is_run_and_its_progress_and_table_are_shown(api: ScriptedApi) -> None:
    api.script = {
        FORECASTS: [(404, {})],
        RUN: [(202, {"id": "9"})],
        SCHEDULE: [(200, {"last_job": {"id": "9"}})],
        JOB: [running(0.0), running(0.1), running(0.3), running(0.4), (200, DONE)],
    }
    forecasts, text = look(api, 5)
    assert forecasts.done
    assert text.count("forecasting demand: ") == 1, "not at every look"
    assert "30%" in text
    assert text.count("2026-03-04") == 7
    for part in (
        "8.2",
        "3-14",
        "1-19",
        "all districts (history, 1,400 days known)\n",
        "from 2 earlier days: model 0.71, seasonal_naive 0.98\n",
    ):
        assert part in text


def test_forecasts_that_are_there_are_shown_and_nothing_is_started(api: ScriptedApi) -> None:
    prior = {**RESULT, "source": "prior", "backtest": None, "no_backtest": "there are fewer than 56 days of requests"}
    api.script = {FORECASTS: [(200, {"job_id": "9"})], JOB: [(200, {**DONE, "result": prior})]}
    forecasts, text = look(api, 3)
    assert forecasts.done
    assert text.count("fewer than 56 days") == 1
    assert [asked for asked, _, _ in api.requests] == [f"GET {FORECASTS}", f"GET {JOB}"]


def test_a_run_that_the_clock_started_is_followed(api: ScriptedApi) -> None:
    api.script = {
        FORECASTS: [(404, {})],
        RUN: [(409, {"detail": "job 9 of schedule weekly_forecasts is not finished"})],
        SCHEDULE: [(200, {"last_job": {"id": "9"}})],
        JOB: [(200, DONE)],
    }
    assert look(api, 1)[0].done


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({FORECASTS: [(503, {"detail": "no database"})]}, "no database"),
        ({RUN: [(422, {"detail": "refused"})]}, "refused"),
        ({JOB: [(200, {"state": "dead", "progress": 0.5})]}, "the job is dead"),
    ],
)
def test_what_goes_wrong_is_said_once_and_ends_nothing_else(
    api: ScriptedApi, changed: dict[str, list[tuple[int, object]]], reason: str
) -> None:
    api.script = {
        FORECASTS: [(404, {})],
        RUN: [(202, {"id": "9"})],
        SCHEDULE: [(200, {"last_job": {"id": "9"}})],
        JOB: [(200, DONE)],
    } | changed
    forecasts, text = look(api, 3)
    assert forecasts.done
    assert text.count("no forecasts of demand") == 1
    assert reason in " ".join(text.split())
