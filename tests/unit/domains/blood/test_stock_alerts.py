import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.shelf_lives import COMPONENTS
from backend.domains.blood.stock import Demand
from backend.domains.blood.stock_alerts import (
    COVER_LIMITS,
    EXPIRY_LIMITS,
    HOLDS,
    LONGER,
    OPENS,
    can_judge_shortage,
    expiring_units,
    expiry_level,
    shortage_level,
    unused_units,
)

SEVERITY = {None: 0, "warning": 1, "critical": 2}
levels = st.sampled_from([None, "warning", "critical"])


def steady(daily: float, days: int = 30) -> Demand:
    return Demand(days=np.array([0.0, days]), units=np.array([0.0, daily * days]))


def shortage(units: int, *, daily: float = 4.0, component: str = "red_cells", before=None):
    return shortage_level(steady(daily), np.full(units, 40.0), component, before=before)


def test_the_limits_are_for_every_component_and_in_order():
    assert set(EXPIRY_LIMITS) == set(COMPONENTS)
    assert set(COVER_LIMITS) < set(COMPONENTS)
    for limits in (*COVER_LIMITS.values(), *EXPIRY_LIMITS.values()):
        assert 0 < limits.critical < limits.warning


@pytest.mark.parametrize(
    ("component", "units", "level"),
    [
        ("red_cells", 20, None),
        ("red_cells", 19, "warning"),
        ("red_cells", 8, "warning"),
        ("red_cells", 7, "critical"),
        ("plasma", 40, None),
        ("plasma", 39, "warning"),
        ("plasma", 15, "critical"),
        ("platelets", 6, None),
        ("platelets", 5, "warning"),
        ("platelets", 2, "critical"),
    ],
)
def test_a_shortage_begins_below_the_limit_of_its_component(component: str, units: int, level: str | None):
    assert shortage(units, component=component) == level


def test_an_alert_ends_only_when_cover_is_a_good_deal_longer_than_where_it_began():
    seen = [shortage(units, before="warning") for units in (19, 20, 24, 25)]
    assert seen == ["warning", "warning", "warning", None]
    assert [shortage(units, before="critical") for units in (8, 9, 10)] == ["critical", "critical", "warning"]


def test_a_group_that_is_hardly_ever_asked_for_is_not_short():
    assert shortage(0, daily=OPENS / COVER_LIMITS["red_cells"].warning - 0.001) is None
    assert shortage(0, daily=OPENS / COVER_LIMITS["red_cells"].warning) == "warning"


def test_what_is_there_but_expires_is_short_too():
    assert shortage_level(steady(4.0), np.full(100, 1.0), "red_cells", before=None) == "critical"


@given(st.integers(0, 60), st.floats(0.0, 10.0), st.sampled_from(sorted(COVER_LIMITS)), levels)
def test_a_shortage_that_is_open_is_never_judged_milder_than_one_that_is_not(units, daily, component, before):
    anew = shortage(units, daily=daily, component=component)
    held = shortage(units, daily=daily, component=component, before=before)
    assert SEVERITY[held] >= SEVERITY[anew]
    assert SEVERITY[held] <= max(SEVERITY[before], SEVERITY[anew])
    assert shortage(units, daily=daily, component=component, before=held) == held, "a second look changes nothing"


def test_a_forecast_must_reach_as_far_as_the_limits():
    reach = int(LONGER * COVER_LIMITS["red_cells"].warning)
    assert can_judge_shortage(steady(1.0, days=reach + 1), "red_cells")
    assert not can_judge_shortage(steady(1.0, days=reach), "red_cells")


def expiry(wasted: list[float], expires_in: list[float], component="red_cells", *, forecast=True, before=None):
    parts = np.array(wasted), np.array(expires_in), component
    return expiry_level(*parts, forecast=forecast, before=before)


def test_units_that_will_not_be_used_before_they_expire_are_found():
    assert expiry([0.6], [7.0]) == "warning"
    assert expiry([0.6], [7.1]) is None
    assert expiry([0.6], [2.0]) == "critical"
    assert expiry([0.4], [2.0]) is None, "it will probably be used"
    assert expiry([0.3, 0.3], [3.0, 6.0]) == "warning"


def test_platelets_are_looked_at_on_their_last_day_only():
    assert expiry([1.0], [1.1], "platelets") is None
    assert expiry([1.0], [1.0], "platelets") == "warning"
    assert expiry([1.0], [0.5], "platelets") == "critical"


def test_an_open_expiry_is_held_until_hardly_any_unit_is_left():
    assert expiry([HOLDS], [3.0], before="warning") == "warning"
    assert expiry([HOLDS], [1.0], before="critical") == "critical"
    assert expiry([HOLDS], [1.0], before="warning") == "warning"
    assert expiry([HOLDS - 0.01], [1.0], before="critical") is None


def test_without_a_forecast_every_unit_near_its_end_is_a_warning_and_no_more():
    expires_in = np.array([0.5, 3.0, 30.0])
    wasted = unused_units(None, expires_in)
    assert wasted.tolist() == [1.0, 1.0, 1.0]
    assert expiry_level(wasted, expires_in, "red_cells", forecast=False, before=None) == "warning"
    assert expiring_units(wasted, expires_in, "red_cells") == 2


def test_what_the_forecast_will_use_is_not_wasted():
    assert unused_units(steady(1.0), np.array([1.0, 1.0, 2.0])).tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_an_expiry_alert_is_about_one_unit_at_least():
    assert expiring_units(np.array([0.3]), np.array([1.0]), "red_cells") == 1
    assert expiring_units(np.array([0.9, 0.9, 0.9]), np.array([1.0, 2.0, 3.0]), "red_cells") == 3
