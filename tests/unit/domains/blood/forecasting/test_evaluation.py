"""Backtests by rolling origin: which days are forecast, and what the forecasts were worth."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting import evaluation
from backend.domains.blood.forecasting.baselines import BASELINES
from backend.domains.blood.forecasting.evaluation import ORIGINS_MOST, Backtest, _Tally, _Verdict, backtest
from backend.errors import InputError

NAN = np.nan
WEEK = 7
origins_of = evaluation.test_origins  # by its own name it would be taken for a test


def by_weeks(*series: list[float]) -> np.ndarray:
    """The same value on all days of a week."""
    return np.repeat(np.array(series, dtype=np.float64), WEEK, axis=1)


@pytest.fixture(scope="module")
def result(make_panel) -> Backtest:
    values = by_weeks([1, 2, 3, 4, 5, 7, 10], [10] * 7)
    return backtest(make_panel(values), horizon=WEEK, origins=2)


def test_errors_are_scaled_by_the_in_sample_seasonal_naive_error(result: Backtest):
    # Of the first series 7 were expected instead of 10, 5 instead of 7; until then a week differed from the one
    # before by (1 + 1 + 1 + 1 + 2) / 5 and by 1. The second series never differed, so that it has no scale.
    assert result.baselines["seasonal_naive"].mase == pytest.approx((3.0 / 1.2 + 2.0 / 1.0) / 2.0)
    assert result.series == 2
    assert result.undefined == 1


def test_wape_is_of_all_series_together(result: Backtest):
    assert result.baselines["seasonal_naive"].wape == pytest.approx((3.0 + 2.0) / (10.0 + 7.0 + 10.0 + 10.0))
    # 8 weeks back there were 6 (the mean 11/3) and 5 (the mean 3).
    assert result.baselines["weekday_mean_8w"].wape == pytest.approx(
        (10.0 - 22.0 / 6.0 + 7.0 - 15.0 / 5.0) / (10.0 + 7.0 + 10.0 + 10.0)
    )


def test_every_baseline_is_judged_beside_the_model(result: Backtest):
    assert set(result.baselines) == set(BASELINES)
    for scores in (result.model, *result.baselines.values()):
        assert 0.0 <= scores.coverage_80 <= scores.coverage_95 <= 1.0
        assert scores.pinball > 0.0
    assert np.isnan(result.total.mase), "a total is not scaled"
    assert result.total.wape > 0.0


def test_the_days_forecast_are_told(result: Backtest):
    assert result.origins.astype(str).tolist() == ["2024-02-05", "2024-02-12"]
    assert result.horizon == WEEK
    assert result.seconds > 0.0


def test_series_that_never_happen_have_neither_mase_nor_wape(make_panel):
    result = backtest(make_panel(np.zeros((2, 40))), horizon=3, origins=2)
    assert np.isnan([result.model.mase, result.model.pinball, result.model.wape]).all()
    assert result.undefined == 2
    assert result.model.coverage_80 == result.model.coverage_95 == 1.0


def test_a_series_is_judged_at_the_origins_where_it_has_a_scale(make_panel):
    result = backtest(make_panel(by_weeks([1, 1, 1, 1, 1, 2, 3])), horizon=WEEK, origins=2)
    # Until the first origin nothing changed; until the second one week of five did, by 1.
    assert result.baselines["seasonal_naive"].mase == pytest.approx(1.0 / 0.2)
    assert result.undefined == 0


def test_days_before_a_series_begins_are_not_judged(make_panel):
    values = by_weeks([1, 2, 3, 4, 5, 7, 10], [NAN] * 6 + [10])
    result = backtest(make_panel(values), horizon=WEEK, origins=2)
    assert result.baselines["seasonal_naive"].mase == pytest.approx(2.25)
    # Of the second series 7 days were observed, and nothing was known of it: 10 a day missed.
    assert result.baselines["seasonal_naive"].wape == pytest.approx((3.0 + 2.0 + 10.0) / (10.0 + 7.0 + 10.0))
    assert result.undefined == 1


def test_progress_rises_to_the_end(make_panel):
    told: list[float] = []
    backtest(make_panel(np.ones((1, 60))), horizon=5, origins=3, progress=lambda fraction, _note: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_verdict_counts_known_days():
    actual, mean = np.array([[4.0, NAN], [0.0, 6.0]]), np.array([[1.0, 9.0], [1.0, 6.0]])
    inside = np.array([[[False, True], [True, True]], [[True, True], [True, True]]])
    nothing = np.zeros(0), np.zeros(0)
    verdict = _Verdict.of(actual, mean, inside, scaled=nothing)
    assert (verdict.error, verdict.value, verdict.days) == (4.0, 10.0, 3)
    assert verdict.inside.tolist() == [2, 3]


def test_scores_are_over_all_origins():
    tally = _Tally()
    no_day = _Verdict(0.0, 0.0, np.array([0, 0]), 0, np.array([NAN, NAN]), np.array([NAN, NAN]))
    one = _Verdict(4.0, 10.0, np.array([2, 3]), 4, np.array([1.0, NAN]), np.array([0.5, NAN]))
    two = _Verdict(2.0, 20.0, np.array([1, 1]), 1, np.array([2.0, 6.0]), np.array([0.5, 2.0]))
    for verdict in (no_day, one, two):
        tally.add(verdict)
    scores = tally.scores()
    assert scores.mase == pytest.approx(3.0)
    assert scores.pinball == pytest.approx(1.0)
    assert scores.wape == pytest.approx(6.0 / 30.0)
    assert (scores.coverage_80, scores.coverage_95) == pytest.approx((3.0 / 5.0, 4.0 / 5.0))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (100, [70, 80, 90]),  # a horizon apart
        (45, [29, 32, 35]),  # closer, as evenly as whole days allow
        (40, [28, 29, 30]),
    ],
)
def test_origins_lie_a_horizon_apart_or_closer_where_history_is_short(days: int, expected: list[int]):
    assert origins_of(days, horizon=10, origins=3).tolist() == expected


@settings(max_examples=30)
@given(st.integers(1, 366), st.integers(1, ORIGINS_MOST), st.integers(-50, 500))
def test_origins_have_history_before_and_a_horizon_after_them_or_are_refused(horizon: int, origins: int, spare: int):
    least = max(28, horizon) + horizon + origins - 1
    days = least + spare
    if spare < 0:
        with pytest.raises(InputError, match=f"need a history of {least} days, not {days}"):
            origins_of(days, horizon=horizon, origins=origins)
        return
    found = origins_of(days, horizon=horizon, origins=origins)
    assert len(found) == origins
    assert found[-1] + horizon == days
    assert found[0] >= max(28, horizon)
    assert len(set(np.diff(found))) <= 1
    assert origins == 1 or 1 <= found[1] - found[0] <= horizon


@pytest.mark.parametrize(
    ("horizon", "origins", "message"),
    [
        (0, 3, "the horizon must be between 1 and 366 days, not 0"),
        (5_000, 3, "the horizon must be between 1 and 366 days, not 5,000"),
        (7, 0, "the number of origins must be between 1 and 100, not 0"),
        (7, 5_000, "the number of origins must be between 1 and 100, not 5,000"),
        (7, 100, "100 origins with a horizon of 7 days need a history of 134 days, not 60"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(make_panel, horizon: int, origins: int, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        backtest(make_panel(np.ones((1, 60))), horizon=horizon, origins=origins)
