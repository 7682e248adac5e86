"""How long a stock lasts, beside a simulation that hands out every sixteenth of a day."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component
from backend.domains.blood.rules import can_donate
from backend.domains.blood.stock import (
    PRIOR_SHARES,
    PRIOR_UNITS,
    Cover,
    Demand,
    Expected,
    Units,
    available_pools,
    compatible_units,
    component_shares,
    days_of_cover,
    split,
    units_used,
    unused,
)

STEPS = 16
MADE_AT = datetime(2026, 3, 3, tzinfo=UTC)

dailies = st.lists(st.integers(0, 12).map(lambda quarter: quarter / 4), min_size=1, max_size=8)
expiries = st.lists(st.integers(1, 10 * STEPS).map(lambda step: step / STEPS), max_size=12).map(sorted)


def demand_of(*daily: float) -> Demand:
    return Demand(days=np.arange(len(daily) + 1.0), units=np.concatenate([[0.0], np.cumsum(daily)]))


def simulated(daily: list[float], expires_in: list[float]) -> tuple[Cover, list[float]]:
    """Hand out units step by step, the one that expires first first: the cover, and what is left of each unit."""
    left, short = [1.0] * len(expires_in), None
    for step in range(STEPS * len(daily)):
        wanted = need = daily[step // STEPS] / STEPS
        for i, end in enumerate(expires_in):
            if end > step / STEPS:
                taken = min(left[i], need)
                left[i], need = left[i] - taken, need - taken
        if need > 0 and short is None:
            short = (step + (wanted - need) / wanted) / STEPS
    return (Cover(float(len(daily)), at_least=True) if short is None else Cover(short, at_least=False)), left


@given(daily=dailies, expires_in=expiries)
def test_cover_and_waste_are_those_of_handing_out_unit_by_unit(daily: list[float], expires_in: list[float]):
    demand = demand_of(*daily)
    cover, left = simulated(daily, expires_in)
    found = days_of_cover(demand, np.array(expires_in))
    assert found.at_least == cover.at_least
    assert found.days == pytest.approx(cover.days, abs=1e-6)
    np.testing.assert_allclose(unused(demand, np.array(expires_in)), left, atol=1e-9)


@given(daily=dailies, expires_in=expiries, more=st.integers(1, 10 * STEPS))
def test_another_unit_never_shortens_cover(daily: list[float], expires_in: list[float], more: int):
    demand = demand_of(*daily)
    before = days_of_cover(demand, np.array(expires_in))
    after = days_of_cover(demand, np.array(sorted([*expires_in, more / STEPS])))
    assert after.days >= before.days - 1e-6
    assert units_used(demand, np.array(expires_in)) <= len(expires_in)


def test_a_part_of_the_last_day_counts():
    assert days_of_cover(demand_of(2, 2, 2), np.full(5, 9.0)) == pytest.approx((2.5, False))


def test_nothing_there_covers_no_time_unless_nothing_is_asked_for():
    assert days_of_cover(demand_of(1, 1), np.empty(0)) == pytest.approx((0.0, False))
    assert days_of_cover(demand_of(0, 0, 4), np.empty(0)) == pytest.approx((2.0, False))
    assert days_of_cover(demand_of(0, 0), np.empty(0)) == (2.0, True)


def test_more_than_the_forecast_can_tell_is_at_least_its_horizon():
    assert days_of_cover(demand_of(1, 1, 1), np.full(50, 30.0)) == (3.0, True)


def test_platelets_cover_no_longer_than_they_last_however_many_there_are():
    assert days_of_cover(demand_of(*[0.25] * 30), np.full(100, 4.5)) == pytest.approx((4.5, False))


def test_the_unit_that_expires_first_is_used_first_and_the_rest_of_it_is_gone():
    np.testing.assert_allclose(unused(demand_of(0.5, 0.5, 0.5), np.array([1.0, 3.0])), [0.5, 0.0])


def test_of_today_only_what_is_left_is_asked_for():
    mean = np.full((1, 1, 3), 4.0)
    expected = Expected.of(
        made_at=MADE_AT,
        midnights=np.array([-0.75, 0.25, 1.25, 2.25]),
        mean=mean,
        high=mean - 1.0,
        shares=np.array([0.8, 0.1, 0.1]),
    )
    red_cells, plasma, high = expected.demand(0, 0, 0), expected.demand(0, 0, 1), expected.high_demand(0, 0)
    assert red_cells is not None
    assert plasma is not None
    assert high is not None
    np.testing.assert_allclose(red_cells.days, [0.0, 0.25, 1.25, 2.25])
    np.testing.assert_allclose(red_cells.units, [0.0, 1.0, 5.0, 9.0])
    np.testing.assert_allclose(plasma.units, red_cells.units / 8)
    np.testing.assert_allclose(high.units, red_cells.units, err_msg="a limit below the mean is no high demand")
    assert red_cells.horizon == 2.25


def test_a_cell_without_a_forecast_has_no_demand():
    missing = np.full((1, 1, 2), np.nan)
    expected = Expected.of(
        made_at=MADE_AT, midnights=np.array([0.0, 1.0, 2.0]), mean=missing, high=missing, shares=np.array(PRIOR_SHARES)
    )
    assert expected.demand(0, 0, 0) is None
    assert expected.high_demand(0, 0) is None


def test_component_shares_are_the_prior_at_first_and_the_requests_in_the_end():
    np.testing.assert_allclose(component_shares(np.zeros(3)), PRIOR_SHARES)
    np.testing.assert_allclose(component_shares(np.array([0.0, PRIOR_UNITS, 0.0])), [0.4, 0.54, 0.06])
    np.testing.assert_allclose(component_shares(np.array([5e6, 3e6, 2e6])), [0.5, 0.3, 0.2], atol=1e-4)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), max_size=30))
def test_split_gives_every_row_once_under_its_keys_in_its_order(rows: list[tuple[int, int]]):
    first, second = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
    found = {key: places.tolist() for key, places in split(first, second).items()}
    assert found == {key: [i for i, row in enumerate(rows) if row == key] for key in set(rows)}


def units_of(*groups: str, reserved: bool = False) -> Units:
    n = len(groups)
    zeros = np.zeros(n, dtype=np.int8)
    return Units(
        bank=np.ones(n, dtype=np.int64),
        district=zeros,
        blood_group=np.array([GROUP_CODE[group] for group in groups], dtype=np.int8),
        product=zeros,
        component=zeros,
        reserved=np.full(n, reserved),
        expires_at=np.ones(n),
        expires_in=np.ones(n),
    )


@pytest.mark.parametrize("recipient", range(len(BLOOD_GROUPS)))
def test_compatible_units_are_those_that_the_group_may_be_given(recipient: int):
    pools = available_pools(units_of(*BLOOD_GROUPS, "O-"))
    expected = sum(can_donate(GROUP_CODE[group], recipient, Component.RED_CELLS) for group in (*BLOOD_GROUPS, "O-"))
    assert compatible_units(pools, (0, recipient, Component.RED_CELLS)) == expected


def test_reserved_units_are_in_no_pool():
    assert available_pools(units_of("O-", "A+", reserved=True)) == {}
