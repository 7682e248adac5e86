"""Exponential smoothing finds what a series is made of, and learns from each day only after it."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.smoothing import (
    ETS_GRID,
    _smallest_aicc,
    ets_forecasts,
    smoothed_level,
    tsb_forecasts,
)
from backend.domains.blood.forecasting.windows import WEEK, Window
from backend.domains.blood.records import Floats

PATTERN = np.array([12.0, 6.0, 6.0, 6.0, 6.0, 3.0, 3.0])
DAYS = 28 * WEEK
METHODS = [ets_forecasts, tsb_forecasts]


def last_of(method, values: Floats, horizon: int = 10) -> Floats:
    return method(values, np.array([values.shape[1]]), horizon)[0]


@pytest.mark.parametrize("method", METHODS)
def test_what_never_changes_is_expected_to_stay(method):
    np.testing.assert_allclose(last_of(method, np.full((1, DAYS), 5.0)), 5.0)


def test_ets_finds_the_level_in_noise():
    noisy = np.random.default_rng(1).poisson(10.0, (20, DAYS)).astype(float)
    said = last_of(ets_forecasts, noisy)
    # A level learnt at 2 % a day has the noise of about 100 days; the choice of a quicker one costs a little more.
    assert said.mean() == pytest.approx(10.0, abs=4.0 * np.sqrt(10.0 / 100.0 / 20.0))
    assert np.abs(said - 10.0).max() < 3.0


def test_ets_finds_the_week():
    said = last_of(ets_forecasts, np.tile(PATTERN, 28)[None])
    np.testing.assert_allclose(said[0], np.append(PATTERN, PATTERN[:3]), atol=0.5)


def test_ets_follows_a_trend():
    line = 10.0 + 0.5 * np.arange(DAYS + 10.0)
    said = last_of(ets_forecasts, line[None, :DAYS])[0]
    np.testing.assert_allclose(said, line[DAYS:], atol=1.5)
    assert (np.diff(said) > 0.0).all()
    assert (np.diff(said, n=2) < 0.0).all(), "the trend is damped"


def test_ets_is_never_negative():
    assert last_of(ets_forecasts, np.maximum(60.0 - np.arange(61.0), 0.0)[None], 30).min() == 0.0


def test_a_model_with_more_parameters_has_to_earn_them():
    parameters = np.array([[2.0], [10.0]])
    same, better = np.full((2, 1), 50.0), np.array([[50.0], [10.0]])
    days = np.array([100.0])
    assert _smallest_aicc(same, days, parameters).tolist() == [0]
    assert _smallest_aicc(better, days, parameters).tolist() == [1]
    # 2k + 2k(k + 1)/(n - k - 1) is 4.12 for 2 parameters and 22.47 for 10: ln(50 / x) x 100 must be 18.35.
    edge = 50.0 * np.exp(-0.1835)
    assert _smallest_aicc(np.array([[50.0], [edge * 1.002]]), days, parameters).tolist() == [0]
    assert _smallest_aicc(np.array([[50.0], [edge * 0.998]]), days, parameters).tolist() == [1]


def test_noise_without_a_week_gets_none():
    noisy = np.random.default_rng(2).poisson(10.0, (10, DAYS)).astype(float)
    weekless = [
        np.ptp(series) < 1e-9 or np.all(np.diff(np.sign(np.diff(series))) == 0)
        for series in last_of(ets_forecasts, noisy, WEEK)
    ]
    assert np.mean(weekless) >= 0.9


def test_tsb_forgets_a_demand_that_has_stopped():
    stops = np.concatenate([np.random.default_rng(3).poisson(0.4, 200) * 2.0, np.zeros(400)])
    said = tsb_forecasts(stops[None], np.array([200, 300, 400, 600]), 1).ravel()
    assert said[0] == pytest.approx(0.8, abs=0.4)
    assert (np.diff(said) < 0.0).all()
    # At least 2 % of the chance goes each day.
    assert (said[1:] <= said[0] * 0.98 ** np.array([100, 200, 400]) * 1.5).all()


def test_tsb_is_chance_by_size_and_flat():
    said = last_of(tsb_forecasts, np.tile([0.0, 0.0, 0.0, 4.0], 60)[None], 9)
    assert said.tolist()[0] == [said[0, 0]] * 9
    assert said[0, 0] == pytest.approx(0.25 * 4.0, rel=0.06)


@pytest.mark.parametrize("method", METHODS)
def test_before_anything_is_known_nothing_is_expected(method):
    assert method(np.full((2, 5), 3.0), np.array([0]), 3).tolist() == [[[0.0] * 3] * 2]
    assert last_of(method, np.full((1, 5), np.nan), 3).tolist() == [[0.0] * 3]


@settings(max_examples=15)
@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**32 - 1), missing=st.integers(1, 12))
def test_days_before_a_series_begins_change_nothing(method, seed: int, missing: int):
    values = np.random.default_rng(seed).poisson(2.0, (1, 50)).astype(float)
    # Whole weeks, so that weekdays stay where they are.
    later = np.concatenate([np.full((1, missing * WEEK), np.nan), values], axis=1)
    np.testing.assert_allclose(last_of(method, later), last_of(method, values))


@settings(max_examples=15)
@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**32 - 1), origin=st.integers(0, 80))
def test_nothing_at_or_after_the_origin_is_seen(method, seed: int, origin: int):
    rng = np.random.default_rng(seed)
    values = rng.poisson(2.0, (3, 80)).astype(float)
    values[1, : rng.integers(80)] = np.nan
    other = values.copy()
    other[:, origin:] = 99.0
    origins = np.array([origin])
    said = method(values, origins, 9)
    np.testing.assert_array_equal(said, method(other, origins, 9))
    # What is said at one origin does not depend on the others that are asked for.
    np.testing.assert_array_equal(
        said[0], method(values, np.unique([3, origin, 80]), 9)[np.unique([3, origin, 80]).tolist().index(origin)]
    )


@pytest.mark.parametrize("days", [14.0, 42.0, 140.0])
def test_a_smoothed_level_has_the_week_and_follows_at_its_pace(days: float):
    said = partial(smoothed_level, days=days)
    week = np.tile(PATTERN, 52)[None]
    np.testing.assert_allclose(said(Window.before(week, 52 * WEEK), WEEK)[0], PATTERN, rtol=0.02)
    step = np.append(np.full(300, 2.0), np.full(28, 4.0))[None]
    share = 1.0 - np.exp(-28.0 / days)  # of the weight, which the days since the step have
    np.testing.assert_allclose(said(Window.before(step, 328), 7).mean(), 2.0 + 2.0 * share, rtol=0.1)


def test_the_grid_holds_models_without_season_and_trend():
    assert {(gamma is None, trend == (0.0, 0.0)) for _, gamma, trend in ETS_GRID} == {
        (season, trend) for season in (True, False) for trend in (True, False)
    }
