"""What every candidate would have said at past origins, and which of it was known when."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.bank import (
    CANDIDATES,
    CELLS_MOST,
    JUDGED_MOST,
    LEAST_DAYS,
    PAST_ORIGINS,
    REFIT_DAYS,
    Bank,
    Plan,
    _group_starts,
    fill,
    seasonal_scale,
)
from backend.domains.blood.forecasting.baselines import BASELINES
from backend.domains.blood.forecasting.panel import Panel
from backend.domains.blood.records import Floats

NAN = np.nan
HORIZON = 10


def fill_quietly(panel: Panel, plan: Plan, progress=lambda _fraction, _note: None) -> Bank:
    return fill(panel, plan, HORIZON, calendar=panel.days[:0], threads=2, progress=progress)


@settings(max_examples=30)
@given(
    last=st.integers(LEAST_DAYS, 4_000),
    apart=st.lists(st.integers(1, 400), max_size=8),
    horizon=st.integers(1, 366),
    series=st.integers(1, 2_000),
)
def test_a_plan_has_the_origins_asked_for_and_earlier_ones(last: int, apart: list[int], horizon: int, series: int):
    asked = np.unique(np.maximum(last - np.cumsum([0, *apart]), LEAST_DAYS))
    plan = Plan.of(asked, horizon=horizon, series=series)
    assert set(asked) <= set(plan.origins)
    assert (np.diff(plan.origins) > 0).all()
    assert plan.origins[0] >= LEAST_DAYS
    step = plan.reach // PAST_ORIGINS
    assert step % 7, "every horizon meets every weekday"
    if last - plan.reach >= LEAST_DAYS:
        assert ((plan.origins < last) & (plan.origins >= last - plan.reach)).sum() >= PAST_ORIGINS
    assert plan.judged[0] == 0
    assert plan.judged[-1] < horizon
    assert len(np.unique(np.diff(plan.judged) % 7)) <= 1
    assert not len(plan.judged) > 1 or (plan.judged[1] == 1) == (PAST_ORIGINS * series * horizon <= JUDGED_MOST)


def test_a_plan_for_many_series_stays_within_memory():
    plan = Plan.of(np.arange(1_000, 2_000, 100), horizon=90, series=1_000)
    between = len(plan.origins) - 10
    assert between * 1_000 * 90 <= CELLS_MOST * 1.1


@pytest.fixture(scope="module")
def values() -> Floats:
    values = np.random.default_rng(5).poisson(3.0, (4, 160)).astype(float)
    values[1, :100] = NAN
    values[2] = 0.0
    return values


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.of(np.array([150]), horizon=HORIZON, series=4)


@pytest.fixture(scope="module")
def bank(make_panel, values: Floats, plan: Plan, few_trees) -> Bank:
    return fill_quietly(make_panel(values), plan)


def test_every_method_says_something_finite_at_every_origin(bank: Bank, plan: Plan):
    assert set(bank.forecasts) == {*CANDIDATES, *BASELINES}
    for name, forecasts in bank.forecasts.items():
        assert forecasts.shape == (len(plan.origins), 4, HORIZON), name
        assert np.isfinite(forecasts).all(), name
        assert (forecasts >= 0.0).all(), name


def test_what_happened_stands_beside_it(bank: Bank, values: Floats):
    for row, origin in enumerate(bank.origins):
        np.testing.assert_array_equal(bank.actual[row], values[:, origin : origin + HORIZON])
        assert bank.row(origin) == row
    np.testing.assert_allclose(bank.level[-1, 0], values[0, 150 - 56 : 150].mean())
    np.testing.assert_allclose(bank.level[-1, 1], values[1, 100:150].mean())
    assert (bank.level[bank.origins <= 100, 1] == 0.0).all(), "it had not begun"


@pytest.mark.usefixtures("few_trees")
def test_no_forecast_changes_with_what_comes_after_its_origin(make_panel, bank: Bank, values: Floats, plan: Plan):
    cut = int(plan.origins[len(plan.origins) // 2])
    other = values.copy()
    other[:, cut:] = 77.0
    of_other = fill_quietly(make_panel(other), plan)
    # LightGBM is trained on the days before the first origin of its group, so it, too, knows no later day.
    before = plan.origins <= cut
    assert 3 < before.sum() < len(before)
    for name, forecasts in bank.forecasts.items():
        np.testing.assert_array_equal(forecasts[before], of_other.forecasts[name][before], err_msg=name)
        assert not np.array_equal(forecasts[-1], of_other.forecasts[name][-1]), f"{name} learns from what it may see"
    np.testing.assert_array_equal(bank.level[before], of_other.level[before])
    np.testing.assert_array_equal(bank.scale[before], of_other.scale[before])


def test_the_past_of_an_origin_ends_before_it(bank: Bank, values: Floats):
    origin = 150
    rows, happened = bank.past(origin)
    assert (bank.origins[rows] < origin).all()
    day = bank.origins[rows][:, None] + np.arange(HORIZON)
    assert np.isnan(happened[:, 0][day >= origin]).all()
    np.testing.assert_array_equal(happened[:, 0][day < origin], values[0, day[day < origin]])
    assert (day >= origin).any(), "the last horizons reach beyond it"


def test_the_past_reaches_only_so_far_back(make_bank):
    origins = np.arange(0, 100, 10)
    zeros = np.zeros((10, 1, 1))
    bank = make_bank(origins=origins, actual=zeros, said=zeros, level=0.0, reach=30)
    assert bank.past(80)[0].tolist() == [5, 6, 7]


def test_progress_rises_to_the_end(make_panel, values: Floats, plan: Plan, monkeypatch):
    monkeypatch.setattr("backend.domains.blood.forecasting.booster.ROWS_LEAST", 10**9)
    told: list[float] = []
    fill_quietly(make_panel(values), plan, lambda fraction, _note: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_the_scale_is_the_mean_difference_of_a_week_before_the_origin():
    week = np.arange(7.0)
    values = np.stack([np.concatenate([week, week + 2.0, week + 6.0]), np.ones(21), np.append(np.full(20, NAN), 1.0)])
    scale = seasonal_scale(values, np.array([7, 10, 14, 21]))
    # Nothing to compare in the first week; then always 2; in the third week 4 on each day.
    np.testing.assert_array_equal(scale[:, 0], [NAN, 2.0, 2.0, 3.0])
    assert np.isnan(scale[:, 1:]).all(), "0 or unknown"


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_lightgbm_is_trained_often_enough_and_no_more(apart: list[int]):
    origins = np.cumsum(apart)
    groups = np.split(origins, _group_starts(origins))
    assert all(np.ptp(group) < REFIT_DAYS for group in groups)
    assert len(groups) <= np.ptp(origins) // REFIT_DAYS + 2
