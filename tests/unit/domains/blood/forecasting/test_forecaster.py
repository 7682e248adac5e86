"""The entry to forecasting, from a panel to what is expected of its next days."""

import numpy as np
import pytest

from backend.domains.blood.forecasting import evaluation
from backend.domains.blood.forecasting.bank import CANDIDATES, Plan
from backend.domains.blood.forecasting.booster import TRAINING_DAYS
from backend.domains.blood.forecasting.evaluation import backtest
from backend.domains.blood.forecasting.forecaster import HORIZON_MOST, Forecast, Outlook, days_needed, fit, trim
from backend.domains.blood.forecasting.panel import Panel
from backend.domains.blood.forecasting.windows import YEAR
from backend.domains.blood.records import Floats
from backend.errors import InputError

HORIZON = 7
ACTIVE, SILENT, LATE = slice(0, 8), 8, 9
PATTERN = np.array([1.4, 1.2, 1.0, 1.0, 1.0, 0.8, 0.6])


@pytest.fixture(scope="module")
def values() -> Floats:
    """8 series with a week, of 2 to 30 a day; a silent one; one that began 20 days ago."""
    mean = np.outer([*np.linspace(2.0, 30.0, 8), 0.0, 6.0], np.tile(PATTERN, 18))
    values = np.random.default_rng(7).poisson(mean).astype(float)
    values[LATE, :-20] = np.nan
    return values


@pytest.fixture(scope="module")
def panel(make_panel, values: Floats) -> Panel:
    return make_panel(values)


@pytest.fixture(scope="module")
def forecast(panel: Panel, few_trees) -> Forecast:
    return fit(panel, horizon=HORIZON)


def test_the_days_after_the_panel_are_forecast(panel: Panel, forecast: Forecast):
    assert forecast.days[0] == panel.days[-1] + np.timedelta64(1, "D")
    assert len(forecast.days) == HORIZON
    assert forecast.keys == panel.keys
    assert forecast.mean.shape == (10, HORIZON)
    assert forecast.lower.shape == forecast.upper.shape == (2, 10, HORIZON)


def test_every_series_is_forecast_near_its_level_and_week(forecast: Forecast):
    truth = np.outer([*np.linspace(2.0, 30.0, 8), 0.0, 6.0], PATTERN)
    assert np.abs(forecast.mean[ACTIVE] - truth[ACTIVE]).sum() < 0.15 * truth[ACTIVE].sum()
    assert forecast.mean[LATE].mean() == pytest.approx(6.0, rel=0.4)
    assert forecast.mean[ACTIVE, :2].sum() > 1.5 * forecast.mean[ACTIVE, 5:].sum(), "weekdays 1.3, weekend 0.7"
    assert (forecast.mean[SILENT] < 0.01).all()


def test_limits_are_whole_and_ordered_about_the_mean(forecast: Forecast):
    (lower_80, lower_95), (upper_80, upper_95) = forecast.lower, forecast.upper
    assert ((lower_95 >= 0.0) & (lower_95 <= lower_80) & (lower_80 <= upper_80) & (upper_80 <= upper_95)).all()
    np.testing.assert_array_equal(forecast.upper, np.rint(forecast.upper))
    assert (lower_80[ACTIVE] < forecast.mean[ACTIVE]).all()
    assert (forecast.mean[ACTIVE] < upper_80[ACTIVE] + 1.0).all()


def test_one_silent_series_leaves_the_others_their_width(forecast: Forecast):
    assert (forecast.upper[:, ACTIVE] - forecast.lower[:, ACTIVE] >= 2.0).all()
    assert (forecast.upper[0, SILENT] <= 1.0).all()


def test_each_forecast_says_what_it_is_the_average_of(forecast: Forecast):
    assert len(forecast.methods) == 10
    for methods in forecast.methods:
        assert methods
        assert set(methods) <= set(CANDIDATES)


def test_a_total_is_the_sum_of_its_means_with_limits_of_its_own(forecast: Forecast):
    member = np.arange(10) < 8
    mean, lower, upper = forecast.total(member)
    np.testing.assert_allclose(mean, forecast.mean[ACTIVE].sum(axis=0))
    assert ((lower <= mean) & (mean <= upper)).all()
    added = (forecast.upper[:, ACTIVE] - forecast.lower[:, ACTIVE]).sum(axis=1)
    assert (upper - lower < added).all()
    np.testing.assert_allclose(forecast.paths.mean(axis=(0, 2)), forecast.mean.mean(axis=1))


@pytest.mark.usefixtures("few_trees")
def test_the_same_panel_gives_the_same_forecast_on_any_number_of_threads(panel: Panel, forecast: Forecast):
    again = fit(panel, horizon=HORIZON, threads=2)
    for name in ("mean", "lower", "upper", "paths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(forecast, name))


@pytest.fixture
def said(monkeypatch, few_trees) -> dict[int, Outlook]:
    """What backtests say, by origin."""
    said: dict[int, Outlook] = {}

    class Recorded:
        @staticmethod
        def of(bank, origin: int, *, whole: bool) -> Outlook:
            said[origin] = Outlook.of(bank, origin, whole=whole)
            return said[origin]

    monkeypatch.setattr(evaluation, "Outlook", Recorded)
    return said


def test_a_backtest_says_what_fit_would_have_said_on_that_day(
    make_panel, panel: Panel, values: Floats, said: dict[int, Outlook]
):
    backtest(panel, horizon=HORIZON, origins=1)
    origin = values.shape[1] - HORIZON
    forecast = fit(make_panel(values[:, :origin]), horizon=HORIZON)
    assert list(said) == [origin]
    outlook = said[origin]
    np.testing.assert_array_equal(outlook.mean, forecast.mean)
    np.testing.assert_array_equal(outlook.calibration.limits(outlook.mean), (forecast.lower, forecast.upper))
    assert tuple(outlook.members[band] for band in outlook.band) == forecast.methods


def test_nothing_after_an_origin_changes_what_a_backtest_says_there(
    make_panel, panel: Panel, values: Floats, said: dict[int, Outlook]
):
    backtest(panel, horizon=HORIZON, origins=3)
    before = dict(said)
    first, *later = sorted(before)
    other = values.copy()
    other[:, first:] = np.random.default_rng(8).poisson(60.0, other[:, first:].shape)
    backtest(make_panel(other), horizon=HORIZON, origins=3)
    assert sorted(said) == [first, *later]
    np.testing.assert_array_equal(said[first].mean, before[first].mean)
    np.testing.assert_array_equal(said[first].points, before[first].points)
    assert said[first].members == before[first].members
    limits, limits_before = (one.calibration.limits(one.mean) for one in (said[first], before[first]))
    np.testing.assert_array_equal(limits, limits_before)
    quantiles, quantiles_before = (one.calibration.quantiles(one.mean) for one in (said[first], before[first]))
    np.testing.assert_array_equal(quantiles, quantiles_before)
    for origin in later:
        assert not np.array_equal(said[origin].mean, before[origin].mean), "what may be seen is seen"


@pytest.mark.parametrize("horizon", [-1, 0, HORIZON_MOST + 1, 5_000])
def test_a_horizon_out_of_range_is_refused(panel: Panel, horizon: int):
    with pytest.raises(InputError, match=f"between 1 and 366 days, not {horizon:,}"):
        fit(panel, horizon=horizon)


def test_a_horizon_longer_than_the_history_is_refused(panel: Panel):
    with pytest.raises(InputError, match="a horizon of 127 days needs 127 days of history, not 126"):
        fit(panel, horizon=127)


def test_four_weeks_of_history_are_needed_and_enough(make_panel, values: Floats):
    with pytest.raises(InputError, match="needs 28 days of history, not 27"):
        fit(make_panel(values[ACTIVE, :27]), horizon=1)
    forecast = fit(make_panel(values[ACTIVE, :28]), horizon=28)
    assert set(forecast.methods) == {("level_6w",)}, "there was no day to choose by"
    assert (forecast.upper > forecast.lower).all()


def test_days_needed_are_as_many_as_forecast():
    assert [days_needed(horizon) for horizon in (1, 28, 29, 366)] == [28, 28, 29, 366]


@pytest.mark.parametrize("more", [0, 500])
def test_days_that_no_origin_learns_from_are_left_out(make_panel, more: int):
    oldest = TRAINING_DAYS + 2 * YEAR
    panel = make_panel(np.arange(oldest + 100.0 + more)[None])
    plan = Plan(np.array([oldest + more, oldest + more + 50]), 10, np.arange(1))
    trimmed, moved = trim(panel, plan)
    assert len(panel.days) - len(trimmed.days) == more
    np.testing.assert_array_equal(trimmed.days[moved.origins], panel.days[plan.origins])
    np.testing.assert_array_equal(trimmed.values[:, moved.origins], panel.values[:, plan.origins])
