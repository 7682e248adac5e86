"""What a forecast has to beat, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.baselines import (
    BASELINES,
    seasonal_naive,
    weekday_level_28d,
    weekday_mean_8w,
)
from backend.domains.blood.forecasting.windows import Window

WEEK = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


def window_of(values: list[float] | np.ndarray) -> Window:
    return Window.before(np.asarray(values, dtype=np.float64)[None], len(values))


def test_seasonal_naive_repeats_the_last_week():
    said = seasonal_naive(window_of([*WEEK * 9.0, *WEEK]), 10)
    assert said.tolist() == [[1, 2, 3, 4, 5, 6, 7, 1, 2, 3]]


def test_the_weekday_mean_looks_back_8_weeks_and_no_further():
    weeks = [WEEK * 1000.0] + [WEEK * factor for factor in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)]
    np.testing.assert_allclose(weekday_mean_8w(window_of(np.concatenate(weeks)), 8)[0], 4.5 * np.append(WEEK, 1.0))


def test_the_weekday_level_is_the_weekdays_share_of_the_last_28_days():
    values = np.concatenate([np.tile(WEEK, 4), np.tile(2.0 * WEEK, 4)])
    np.testing.assert_allclose(weekday_level_28d(window_of(values), 9)[0], 2.0 * np.append(WEEK, [1.0, 2.0]))


@pytest.mark.parametrize("method", [seasonal_naive, weekday_mean_8w])
def test_a_weekday_not_seen_yet_gets_the_mean_of_all_days(method):
    # Three days known, so the origin's weekday is the fourth before them in the week.
    assert method(window_of([2.0, 3.0, 7.0]), 7).tolist() == [[4, 4, 4, 4, 2, 3, 7]]


@pytest.mark.parametrize("method", BASELINES.values())
@pytest.mark.parametrize("history", [[np.nan] * 10, [0.0] * 400])
def test_of_nothing_nothing_is_expected(method, history: list[float]):
    assert method(window_of(history), 8).tolist() == [[0.0] * 8]


@pytest.mark.parametrize("method", BASELINES.values())
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), origin=st.integers(1, 120))
def test_a_baseline_knows_nothing_at_or_after_its_origin(method, seed: int, origin: int):
    rng = np.random.default_rng(seed)
    values = rng.poisson(1.0, (2, 120)).astype(float)
    values[1, : rng.integers(120)] = np.nan
    other = values.copy()
    other[:, origin:] = 99.0
    said = method(Window.before(values, origin), 9)
    np.testing.assert_array_equal(said, method(Window.before(other, origin), 9))
    assert (said >= 0.0).all()
    assert np.isfinite(said).all()
