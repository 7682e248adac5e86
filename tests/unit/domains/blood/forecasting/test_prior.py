"""What is expected of cells without history: shares of Kerala's units, and what little was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.forecaster import Forecast
from backend.domains.blood.forecasting.prior import (
    CELL_SHAPE,
    DISPERSION,
    FORECAST_GROUPS,
    PATHS,
    UNITS_A_YEAR,
    Rates,
    expected_units,
    forecast_from_rates,
    replace_cold,
    update,
)
from backend.domains.blood.geography import DISTRICTS
from backend.domains.blood.records import Floats

FIRST_DAY = np.datetime64("2026-03-04", "D")
KEYS = (("Kollam", "O+"), ("Kollam", "A+"), ("Wayanad", "O+"), ("Wayanad", "A+"))
DISTRICT = np.array([0, 0, 1, 1])


def updated(expected: list[float], units: list[float], days: list[float], district: list[int] | None = None) -> Rates:
    where = np.zeros(len(expected), dtype=np.int64) if district is None else np.array(district)
    return update(np.array(expected), district=where, units=np.array(units), days=np.array(days))


def test_what_kerala_asks_for_is_shared_among_the_cells():
    keys, expected = expected_units()
    assert len(keys) == len(set(keys)) == len(DISTRICTS) * len(FORECAST_GROUPS) == 112
    assert expected.sum() * 365.0 == pytest.approx(UNITS_A_YEAR)
    assert (expected > 0.0).all()
    of_district = {d.name: sum(e for k, e in zip(keys, expected, strict=True) if k[0] == d.name) for d in DISTRICTS}
    assert max(of_district, key=of_district.__getitem__) == "Ernakulam"
    people, centres = sum(d.population_thousands for d in DISTRICTS), sum(d.blood_centres for d in DISTRICTS)
    share = (DISTRICTS[0].population_thousands / people + DISTRICTS[0].blood_centres / centres) / 2.0
    assert of_district[DISTRICTS[0].name] * 365.0 == pytest.approx(UNITS_A_YEAR * share)


def test_without_a_record_the_rates_are_those_expected():
    rates = updated([0.5, 2.0], [0.0, 0.0], [0.0, 0.0])
    np.testing.assert_allclose(rates.mean, [0.5, 2.0])
    np.testing.assert_allclose(rates.shape, CELL_SHAPE)


def test_the_update_by_hand():
    # 1 unit a day was expected in 2 days, which is 1 piece of evidence, and 4 units came, which are 2. The service is
    # (1 + 2)/(1 + 1) = 3/2 as large, its district (1/2 + 2)/(1/2 + 3/2) = 5/4 of that, and the cell's own share
    # (4 + 2)/(4 / (15/8) + 1) = 90/47.
    np.testing.assert_allclose(updated([1.0], [4.0], [2.0]).mean, [90.0 / 47.0])


def test_a_record_that_is_what_was_expected_changes_nothing_but_the_doubt():
    before, after = updated([2.0, 3.0], [0.0, 0.0], [0.0, 0.0]), updated([2.0, 3.0], [20.0, 30.0], [10.0, 10.0])
    np.testing.assert_allclose(after.mean, before.mean)
    assert (after.shape > before.shape).all()


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 20.0), min_size=4, max_size=4), st.lists(st.floats(0.01, 20.0), min_size=4, max_size=4))
def test_after_many_days_the_rate_is_what_was_asked_for(expected: list[float], truth: list[float]):
    days = 1e8
    rates = updated(expected, [rate * days for rate in truth], [days] * 4, [0, 0, 1, 1])
    np.testing.assert_allclose(rates.mean, truth, rtol=1e-3)


def test_a_district_learns_from_its_cells_and_the_service_from_its_districts():
    expected, days = [1.0] * 6, [50.0] * 4 + [0.0] * 2
    busy = updated(expected, [500.0, 500.0, 0.0, 0.0, 0.0, 0.0], days, [0, 0, 1, 1, 0, 2]).mean
    in_busy_district, in_new_district = busy[4], busy[5]
    assert busy[0] > in_busy_district > in_new_district > busy[2]
    assert in_new_district > 1.0, "all in all five times as much was asked for as expected"


@settings(max_examples=30)
@given(st.lists(st.floats(0.0, 500.0), min_size=4, max_size=4), st.floats(1.0, 100.0), st.integers(0, 3))
def test_more_units_in_a_cell_mean_more_there(units: list[float], more: float, cell: int):
    days = [30.0] * 4
    before = updated([1.0] * 4, units, days, [0, 0, 1, 1]).mean
    units = [amount + more * (place == cell) for place, amount in enumerate(units)]
    assert updated([1.0] * 4, units, days, [0, 0, 1, 1]).mean[cell] > before[cell]


def forecast_of(mean: Floats, *, certainty: float = 10.0, horizon: int = 5) -> Forecast:
    days = np.full(len(mean), certainty)
    return forecast_from_rates(KEYS, Rates(mean * days, days), first_day=FIRST_DAY, horizon=horizon)


def test_rates_without_a_pattern_are_the_same_every_day():
    forecast = forecast_of(np.array([0.1, 1.0, 5.0, 20.0]))
    assert forecast.days.astype(str).tolist() == [f"2026-03-0{day}" for day in range(4, 9)]
    assert forecast.keys == KEYS
    np.testing.assert_allclose(forecast.mean, np.outer([0.1, 1.0, 5.0, 20.0], np.ones(5)))
    assert set(forecast.methods) == {("gamma_poisson",)}
    (lower_80, lower_95), (upper_80, upper_95) = forecast.lower, forecast.upper
    assert ((lower_95 <= lower_80) & (lower_80 <= upper_80) & (upper_80 <= upper_95)).all()
    np.testing.assert_array_equal(forecast.upper, np.rint(forecast.upper))


def test_paths_and_limits_speak_of_the_same_days():
    mean = np.array([1.0, 5.0, 20.0, 50.0])
    forecast = forecast_of(mean, certainty=2.0, horizon=30)
    paths = forecast.paths
    assert paths.shape == (PATHS, 4, 30)
    # A path's mean is its rate, of variance mean / certainty; five standard errors of 200 of them.
    assert (np.abs(paths.mean(axis=(0, 2)) - mean) < 5.0 * np.sqrt(mean / 2.0 / PATHS)).all()
    np.testing.assert_allclose(paths.var(axis=(0, 2)), mean * (DISPERSION + 1.0 / 2.0), rtol=0.3)
    # It keeps its rate: the mean of a path's 30 days has the rate's variance and a 30th of a day's.
    np.testing.assert_allclose(paths.mean(axis=2).var(axis=0), mean * (1.0 / 2.0 + DISPERSION / 30.0), rtol=0.4)
    for coverage, low, high in zip((0.8, 0.95), forecast.lower, forecast.upper, strict=True):
        held = ((paths >= low) & (paths <= high)).mean(axis=(0, 2))
        assert (held > coverage - 0.05).all()


def test_doubt_about_a_rate_widens_its_limits():
    sure, unsure = (forecast_of(np.full(4, 10.0), certainty=days) for days in (1e6, 0.2))
    assert (unsure.upper > sure.upper).all()
    assert (unsure.lower < sure.lower).all()


def test_only_cold_series_are_replaced():
    theirs, ours = forecast_of(np.full(4, 3.0)), forecast_of(np.full(4, 9.0))
    theirs = Forecast(
        **{name: getattr(theirs, name) for name in ("days", "keys", "mean", "lower", "upper")},
        methods=(("ets",),) * 4,
        paths=theirs.paths[:150],
    )
    before = theirs.paths.copy()
    cold = np.array([False, True, False, True])
    both = replace_cold(theirs, cold, ours)
    assert both.methods == (("ets",), ("gamma_poisson",), ("ets",), ("gamma_poisson",))
    for name in ("mean", "lower", "upper"):
        found = getattr(both, name)
        np.testing.assert_array_equal(found[..., ~cold, :], getattr(theirs, name)[..., ~cold, :])
        np.testing.assert_array_equal(found[..., cold, :], getattr(ours, name)[..., cold, :])
    np.testing.assert_array_equal(both.paths[:, ~cold], before[:, ~cold])
    np.testing.assert_array_equal(both.paths[:, cold], ours.paths[:150, cold])
    np.testing.assert_array_equal(theirs.paths, before, "the forecast it was made from is as it was")


def test_more_paths_than_the_rates_have_are_filled_by_repeating_them():
    theirs, ours = forecast_of(np.full(4, 3.0)), forecast_of(np.full(4, 9.0))
    many = Forecast(
        **{name: getattr(theirs, name) for name in ("days", "keys", "mean", "lower", "upper", "methods")},
        paths=np.concatenate([theirs.paths, theirs.paths[:50]]),
    )
    paths = replace_cold(many, np.ones(4, dtype=bool), ours).paths
    np.testing.assert_array_equal(paths, np.concatenate([ours.paths, ours.paths[:50]]))
