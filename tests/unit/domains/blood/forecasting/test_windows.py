"""What may be looked at before an origin, laid out by weekday."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.windows import WEEK, YEAR, Window, along, ratio
from backend.domains.blood.records import Floats

PATTERN = np.array([4.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0])  # of a week; its mean is 2


def everything(window: Window) -> list[Floats]:
    factors = window.weekday_factors()
    return [
        window.mean(28),
        window.weekday_mean(8),
        window.dispersion(),
        factors,
        window.level(42.0, factors),
        window.values,
        window.known.astype(float),
    ]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), origin=st.integers(1, 500))
def test_nothing_at_or_after_the_origin_is_seen(seed: int, origin: int):
    rng = np.random.default_rng(seed)
    values = rng.poisson(3.0, (3, 500)).astype(float)
    values[1, : rng.integers(500)] = np.nan
    other = values.copy()
    other[:, origin:] = rng.choice([0.0, 99.0, np.nan], (3, 500 - origin))
    for seen, seen_of_other in zip(
        everything(Window.before(values, origin)), everything(Window.before(other, origin)), strict=True
    ):
        np.testing.assert_array_equal(seen, seen_of_other)


@given(st.integers(0, 3 * YEAR))
def test_the_last_days_are_the_last_places_of_the_window(origin: int):
    window = Window.before(np.arange(3.0 * YEAR)[None], origin)
    known = min(origin, YEAR)
    assert window.known.sum() == known
    assert window.values[window.known].tolist() == list(range(origin - known, origin))
    assert not window.known.ravel()[: YEAR - known].any(), "what is unknown comes first"


def test_means_are_of_the_days_known():
    window = Window.before(np.array([[np.nan] * 5 + [6.0, 2.0, 1.0, 3.0], [np.nan] * 9]), 9)
    assert window.mean(2).tolist() == pytest.approx([2.0, np.nan], nan_ok=True)
    assert window.mean(28).tolist() == pytest.approx([3.0, np.nan], nan_ok=True)


def test_the_mean_of_a_phase_is_that_of_its_weekday_in_the_last_weeks():
    week = np.arange(7.0)
    window = Window.before(np.concatenate([week + 100.0, week, week + 4.0])[None], 3 * WEEK)
    assert window.weekday_mean(1)[0].tolist() == (week + 4.0).tolist()
    assert window.weekday_mean(2)[0].tolist() == (week + 2.0).tolist()
    # An origin a day earlier turns the phases: its first day to forecast is the last of that week.
    assert Window.before(np.tile(week, 3)[None], 3 * WEEK - 1).weekday_mean(2)[0].tolist() == [6, 0, 1, 2, 3, 4, 5]


def test_the_phase_of_a_day_is_its_distance_in_weeks():
    assert along(np.array([[0.0, 1, 2, 3, 4, 5, 6]]), 9).tolist() == [[0, 1, 2, 3, 4, 5, 6, 0, 1]]


def test_dispersion_is_the_variance_of_a_day_by_its_mean():
    weeks = np.repeat([0.0, 2.0, 0.0, 2.0], WEEK)  # a week apart they differ by 2: variance 2² / 2, mean 1
    assert Window.before(weeks[None], 28).dispersion().tolist() == [2.0]


def test_dispersion_sees_noise_and_not_the_weekday():
    rng = np.random.default_rng(1)
    mean = np.tile(PATTERN * 5.0, 52)
    values = np.stack([rng.poisson(mean), rng.negative_binomial(mean / 2.0, 1.0 / 3.0)]).astype(float)
    poisson, thrice = Window.before(values, YEAR).dispersion()
    assert poisson == pytest.approx(1.0, abs=0.25)
    assert thrice == pytest.approx(3.0, abs=0.75)


def test_dispersion_is_that_of_poisson_where_nothing_tells():
    silent, same, new = np.zeros(60), np.full(60, 3.0), np.append(np.full(59, np.nan), 4.0)
    assert Window.before(np.stack([silent, same, new]), 60).dispersion().tolist() == [1.0, 1.0, 1.0]


def test_a_long_record_shows_its_own_weekdays_and_a_short_one_those_of_the_others():
    year = np.tile(PATTERN, 52)
    new = np.append(np.full(YEAR - 1, np.nan), 1.0)
    factors = Window.before(np.stack([*[100.0 * year] * 5, new]), YEAR).weekday_factors()
    np.testing.assert_allclose(factors[:5], np.tile(PATTERN / 2.0, (5, 1)), rtol=0.01)
    np.testing.assert_allclose(factors[5], PATTERN / 2.0, rtol=0.1)


def test_without_any_record_no_weekday_stands_out():
    np.testing.assert_allclose(Window.before(np.full((2, 9), np.nan), 9).weekday_factors(), 1.0)


def test_a_level_weighs_days_by_their_age():
    window = Window.before(np.array([[8.0, 4.0]]), 2)
    older = np.exp(-1.0 / 14.0)
    np.testing.assert_allclose(window.level(14.0, np.ones((1, 7))), (4.0 + older * 8.0) / (1.0 + older))


@given(st.integers(1, YEAR), st.floats(1.0, 200.0))
def test_a_level_is_free_of_weekdays_however_a_record_begins(known: int, days: float):
    values = np.tile(3.0 * PATTERN, 52)
    values[: YEAR - known] = np.nan
    level = Window.before(values[None], YEAR).level(days, PATTERN[None] / 2.0)
    np.testing.assert_allclose(level, 6.0)


def test_the_level_of_nothing_is_0():
    assert Window.before(np.full((1, 3), np.nan), 3).level(14.0, np.ones((1, 7))).tolist() == [0.0]


def test_a_ratio_by_nothing_is_what_is_asked_for():
    above, below = np.array([1.0, 1.0, 0.0]), np.array([2.0, 0.0, 0.0])
    assert ratio(above, below).tolist() == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert ratio(above, below, otherwise=7.0).tolist() == [0.5, 7.0, 7.0]
