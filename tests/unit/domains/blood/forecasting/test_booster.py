"""One LightGBM for all series: it multiplies a smoothed level, and looks at nothing after its origin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting import booster
from backend.domains.blood.forecasting.booster import COLUMNS, AsOf, GlobalBooster, _distance, _last_year
from backend.domains.blood.forecasting.panel import ONE_DAY
from backend.domains.blood.forecasting.smoothing import smoothed_level
from backend.domains.blood.forecasting.windows import YEAR, Window

NO_DAYS = np.array([], dtype="datetime64[D]")


def counts(*shape: int, mean: float = 4.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, shape).astype(float)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), origin=st.integers(1, 420))
def test_nothing_at_or_after_the_origin_is_seen(seed: int, origin: int):
    rng = np.random.default_rng(seed)
    values = counts(3, 420, seed=seed)
    values[1, : rng.integers(420)] = np.nan
    values[2] *= rng.random() < 0.5  # perhaps silent
    other = values.copy()
    other[:, origin:] = 99.0
    seen, seen_of_other = (AsOf.of(which, np.array([origin])) for which in (values, other))
    for name in ("unit", "base", "levels", "weekdays"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(seen_of_other, name))
        assert np.isfinite(getattr(seen, name)[:, [0, 2]]).all(), "series without gaps have every column"


def test_with_few_days_it_repeats_its_base(make_panel):
    panel = make_panel(counts(2, 60))
    said = GlobalBooster(panel, 9, calendar=NO_DAYS).forecasts(np.array([50, 60]))
    for row, origin in enumerate((50, 60)):
        np.testing.assert_allclose(said[row], smoothed_level(Window.before(panel.values, origin), 9, days=42.0))


@pytest.mark.usefixtures("few_trees")
def test_where_nothing_ever_happened_it_expects_nothing_to_speak_of(make_panel):
    said = GlobalBooster(make_panel(np.zeros((12, 90))), 7, calendar=NO_DAYS).forecasts(np.array([90]))
    assert said.shape == (1, 12, 7)
    assert (said <= 0.001).all()


@pytest.mark.usefixtures("few_trees")
def test_what_comes_after_the_origin_changes_no_forecast_from_it(make_panel):
    values, origin = counts(6, 150), 100
    other = values.copy()
    other[:, origin:] = counts(6, 50, mean=90.0)
    said, said_of_other, cut = (
        GlobalBooster(make_panel(which), 20, calendar=NO_DAYS).forecasts(np.array([origin]))
        for which in (values, other, values[:, :origin])
    )
    np.testing.assert_array_equal(said, said_of_other)
    np.testing.assert_array_equal(said, cut)
    base = AsOf.of(values, np.array([origin])).base[0][:, np.arange(20) % 7]
    assert np.abs(np.log(said[0] / base)).max() > 0.001, "trees were grown, or this test would be empty"


@pytest.mark.parametrize("origin", [60, YEAR + 30, YEAR + 60])
def test_no_column_knows_a_day_at_or_after_the_origin_however_far_the_horizon(make_panel, origin: int):
    values = counts(2, 2 * YEAR)
    other = values.copy()
    other[:, origin:] = 90.0
    series, ahead = (part.ravel() for part in np.indices((2, 366)))
    first = np.zeros_like(series)
    columns, columns_of_other = (
        GlobalBooster(make_panel(which), 366, calendar=NO_DAYS)._columns(
            AsOf.of(which, np.array([origin])), first, series, ahead
        )
        for which in (values, other)
    )
    np.testing.assert_array_equal(columns, columns_of_other)
    assert np.isfinite(columns[:, COLUMNS.index("last_year")]).any() == (origin >= YEAR + 28)


@pytest.mark.usefixtures("few_trees")
def test_it_learns_what_holidays_do(make_panel, monkeypatch):
    monkeypatch.setattr(booster, "TREES", 40)
    monkeypatch.setattr(booster, "ROWS_MOST", 20_000)
    values = counts(10, 200, mean=20.0)
    holidays = np.arange(5, 230, 15)  # on every weekday
    values[:, holidays[holidays < 200]] *= 0.25
    panel = make_panel(values)
    calendar = panel.days[0] + ONE_DAY * holidays
    said = GlobalBooster(panel, 16, calendar=calendar).forecasts(np.array([200]))[0].mean(axis=0)
    ahead = np.isin(np.arange(200, 216), holidays)
    assert said[ahead].mean() < 0.75 * said[~ahead].mean()


def test_days_are_measured_from_the_nearest_holiday():
    days = np.datetime64("2026-01-01", "D") + ONE_DAY * np.arange(10)
    holidays = days[[7, 3]]
    np.testing.assert_array_equal(_distance(days, holidays), [-3, -2, -1, 0, 1, 2, -1, 0, 1, 2])
    np.testing.assert_array_equal(_distance(days, days[[8]])[:6], [np.nan] * 5 + [-3])
    assert np.isnan(_distance(days, NO_DAYS)).all()


def test_last_year_is_the_mean_of_the_21_days_around():
    rates = _last_year(np.stack([np.arange(30.0), np.append([np.nan], np.arange(1.0, 30.0))]))
    assert np.isnan(rates[0]).sum() == 20
    assert rates[0, 10:20].tolist() == list(range(10, 20))
    assert np.isnan(rates[1, 10]), "one of its days is unknown"
    assert np.isnan(_last_year(np.ones((1, 20)))).all()
