from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.domains.blood.outreach.luck import by_luck
from backend.domains.blood.outreach.outlook import Asked, Outlook, State, outlook
from backend.domains.blood.outreach.wave import MAY_LOSE, Ranked, choose, level_to_reach

TARGET = 0.95
ROUNDING = 1e-12
EDGES = np.array([0.0, 24.0])


def empty(units: int, sd: float = 0.4) -> Outlook:
    none = np.empty(0)
    nobody = Asked(none.astype(np.int64), none, none, none, np.empty((0, 1)), none, none.astype(np.int8), none)
    return outlook(nobody, units=units, deadline=1.0, now=0.0, edges=EDGES, sd=sd)


def ranked(p: list[float], *, worth: float, km: list[float] | None = None, sd: float = 0.4) -> Ranked:
    column = np.array(p)
    distance = np.arange(1.0, len(p) + 1.0) if km is None else np.array(km)
    return Ranked(distance, by_luck(column, sd)[0], by_luck(worth * column, sd)[0])


def test_a_wave_aims_higher_the_more_waiting_costs() -> None:
    levels = [level_to_reach(ranked([0.3, 0.2], worth=w), patience=0.3, target=TARGET) for w in (1.0, 0.8, 0.4, 0.0)]
    assert levels == sorted(levels)
    assert levels[0] == pytest.approx(0.7, abs=1e-6)
    assert levels[-1] == TARGET


def test_a_later_wave_of_a_plan_closes_the_same_share_of_what_is_left_open() -> None:
    donors = ranked([0.3, 0.2], worth=1.0)
    assert level_to_reach(donors, patience=0.3, target=TARGET, planned=0.7) == pytest.approx(0.91, abs=1e-6)
    assert level_to_reach(donors, patience=0.3, target=TARGET, planned=0.91) == TARGET


@example(p=[0.5, 0.5, 0.75], worth=1.0, level=0.75, units=1)  # one donor reaches the level but for rounding
@given(
    p=st.lists(st.floats(0.02, 0.9), min_size=1, max_size=12),
    worth=st.floats(0.0, 1.0),
    level=st.floats(0.1, 0.95),
    units=st.integers(1, 3),
)
def test_a_wave_is_the_smallest_that_reaches_the_level_and_lets_the_rest_reach_the_target(
    p: list[float], worth: float, level: float, units: int
) -> None:
    start, donors = empty(units), ranked(sorted(p, reverse=True), worth=worth, km=[1.0] * len(p))
    choice = choose(start, donors, radii=(1.0,), level=level, target=TARGET)

    def meets_both(count: int, by: float) -> bool:
        later = np.concatenate((donors.now[:count], donors.later[count:]))
        reaches = start.probability_with(donors.now[:count]) >= min(level, choice.reachable) + by
        return reaches and start.probability_with(later) >= min(TARGET, choice.reachable - MAY_LOSE) + by

    assert choice.reachable == pytest.approx(start.probability_with(donors.now))
    assert meets_both(choice.donors, by=-ROUNDING)
    assert choice.donors in (0, len(p)) or not meets_both(choice.donors - 1, by=ROUNDING)


def test_a_request_with_few_donors_asks_them_all_while_one_with_many_waits() -> None:
    level = 0.5
    few, many = ranked([0.3] * 8, worth=0.6), ranked([0.3] * 60, worth=0.6)
    assert choose(empty(1), few, radii=(99.0,), level=level, target=TARGET).donors == 8
    assert choose(empty(1), many, radii=(99.0,), level=level, target=TARGET).donors == 2


def test_it_goes_no_further_than_it_has_to() -> None:
    near, far = [1.0] * 5, [20.0] * 40
    donors = ranked([0.3] * 45, worth=1.0, km=near + far)
    choice = choose(empty(1), donors, radii=(5.0, 10.0, 25.0), level=0.7, target=TARGET)
    assert (choice.radius_km, choice.donors) == (5.0, 4)
    assert choose(empty(1), donors, radii=(5.0, 10.0, 25.0), level=0.9, target=TARGET).radius_km == 25.0


def test_a_pool_that_cannot_reach_the_target_says_what_it_reaches() -> None:
    choice = choose(empty(2), ranked([0.3, 0.2], worth=0.0), radii=(9.0,), level=TARGET, target=TARGET)
    assert choice.donors == 2
    assert 0.06 < choice.reachable < 0.08


def test_those_already_asked_count(asked: Callable[..., Asked]) -> None:
    alerts = asked([State.ACCEPTED, State.ACCEPTED], keep=0.8)
    known = outlook(
        alerts, units=1, deadline=86_400.0, now=3_700.0, edges=np.array([0, 0.5, 1, 2, 4, 8, 24, 96.0]), sd=0.4
    )
    assert known.probability == pytest.approx(0.96)
    choice = choose(known, ranked([0.3] * 9, worth=0.5), radii=(9.0,), level=0.9, target=TARGET)
    assert choice.donors == 0
