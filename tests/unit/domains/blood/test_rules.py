import itertools

import numpy as np
import pytest

from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component
from backend.domains.blood.rules import (
    GROUP_SHARES,
    can_donate,
    compatible_groups,
    platelet_preference,
    scarcity,
    substitution_costs,
)

COMMON = BLOOD_GROUPS[:8]

RED_CELLS_FROM = {
    "O-": {"O-"},
    "O+": {"O-", "O+"},
    "A-": {"O-", "A-"},
    "A+": {"O-", "O+", "A-", "A+"},
    "B-": {"O-", "B-"},
    "B+": {"O-", "O+", "B-", "B+"},
    "AB-": {"O-", "A-", "B-", "AB-"},
    "AB+": set(COMMON),
    "Oh": {"Oh"},
}
PLASMA_FROM_ABO = {"O": {"O", "A", "B", "AB"}, "A": {"A", "AB"}, "B": {"B", "AB"}, "AB": {"AB"}}


def abo(group: str) -> str:
    return group.rstrip("+-")


def donors_for(recipient: str, component: Component) -> set[str]:
    flags = compatible_groups(GROUP_CODE[recipient], component)
    return {name for name, fits in zip(BLOOD_GROUPS, flags, strict=True) if fits}


@pytest.mark.parametrize("recipient", BLOOD_GROUPS)
def test_red_cells_follow_the_published_table(recipient: str) -> None:
    assert donors_for(recipient, Component.RED_CELLS) == RED_CELLS_FROM[recipient]


@pytest.mark.parametrize("recipient", COMMON)
def test_plasma_follows_the_published_table_whatever_the_rh(recipient: str) -> None:
    expected = {donor for donor in COMMON if abo(donor) in PLASMA_FROM_ABO[abo(recipient)]}
    assert donors_for(recipient, Component.PLASMA) == expected


@pytest.mark.parametrize("recipient", COMMON)
def test_platelets_may_cross_groups(recipient: str) -> None:
    assert donors_for(recipient, Component.PLATELETS) == set(COMMON)


@pytest.mark.parametrize("component", Component)
def test_bombay_blood_is_kept_to_bombay(component: Component) -> None:
    assert donors_for("Oh", component) == {"Oh"}
    assert not any("Oh" in donors_for(recipient, component) for recipient in COMMON)


@pytest.mark.parametrize("component", Component)
def test_everyone_may_receive_their_own_group(component: Component) -> None:
    assert all(can_donate(group, group, component) for group in range(len(BLOOD_GROUPS)))


def test_red_cells_and_plasma_run_in_opposite_directions_within_one_rh() -> None:
    for donor, recipient in itertools.product(COMMON, COMMON):
        if donor[-1] == recipient[-1]:
            red = can_donate(GROUP_CODE[donor], GROUP_CODE[recipient], Component.RED_CELLS)
            plasma = can_donate(GROUP_CODE[recipient], GROUP_CODE[donor], Component.PLASMA)
            assert red == plasma


@pytest.mark.parametrize("component", [Component.RED_CELLS, Component.PLASMA])
def test_what_fits_a_fits_whoever_a_fits(component: Component) -> None:
    for first, second, third in itertools.product(range(9), repeat=3):
        if can_donate(first, second, component) and can_donate(second, third, component):
            assert can_donate(first, third, component)


def test_one_pair_and_a_row_of_the_table_agree() -> None:
    for component, recipient in itertools.product(Component, range(9)):
        assert compatible_groups(recipient, component).tolist() == [
            can_donate(d, recipient, component) for d in range(9)
        ]


def test_the_tables_cannot_be_altered() -> None:
    with pytest.raises(ValueError, match="read-only"):
        compatible_groups(0, Component.RED_CELLS)[:] = True


def test_the_group_shares_are_those_of_the_paper() -> None:
    assert set(GROUP_SHARES) == set(BLOOD_GROUPS)
    assert sum(GROUP_SHARES.values()) == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("component", [Component.RED_CELLS, Component.PLASMA])
def test_scarcity_is_zero_like_for_like_and_at_most_one(component: Component) -> None:
    for donor, recipient in itertools.product(range(9), repeat=2):
        cost = scarcity(donor, recipient, component)
        if donor == recipient:
            assert cost == 0.0
        elif can_donate(donor, recipient, component):
            assert 0.0 <= cost <= 1.0 + 1e-12
        else:
            assert cost == np.inf


def test_o_negative_red_cells_cost_the_more_the_less_they_are_needed() -> None:
    costs = [scarcity(GROUP_CODE["O-"], GROUP_CODE[recipient]) for recipient in ("O-", "A-", "AB-", "O+", "A+", "AB+")]
    assert costs == sorted(costs)
    assert costs[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("recipient", ["O+", "A+", "B+", "AB+"])
def test_d_negative_red_cells_cost_more_than_d_positive_ones_of_the_same_abo(recipient: str) -> None:
    for donor in RED_CELLS_FROM[recipient]:
        if donor.endswith("+"):
            negative = GROUP_CODE[donor.replace("+", "-")]
            assert scarcity(negative, GROUP_CODE[recipient]) > scarcity(GROUP_CODE[donor], GROUP_CODE[recipient])


def test_ab_plasma_costs_most_because_anyone_could_use_it() -> None:
    costs = {donor: scarcity(GROUP_CODE[donor], GROUP_CODE["O+"], Component.PLASMA) for donor in COMMON}
    assert max(costs, key=costs.__getitem__).startswith("AB")
    assert costs["O-"] == costs["O+"] == 0.0


def test_platelets_prefer_the_same_abo_and_then_the_same_d() -> None:
    order = platelet_preference(GROUP_CODE["A-"], avoid_d_exposure=False)
    places = {name: int(place) for name, place in zip(BLOOD_GROUPS, order, strict=True)}
    assert (places["A-"], places["A+"], places["B-"], places["B+"], places["Oh"]) == (0, 1, 2, 3, -1)


def test_platelets_for_those_who_must_not_form_anti_d_put_d_before_abo() -> None:
    order = platelet_preference(GROUP_CODE["A-"], avoid_d_exposure=True)
    places = {name: int(place) for name, place in zip(BLOOD_GROUPS, order, strict=True)}
    assert (places["A-"], places["O-"], places["A+"], places["B+"]) == (0, 1, 2, 3)


@pytest.mark.parametrize("avoid_d_exposure", [False, True])
def test_d_positive_recipients_take_platelets_of_either_d_alike(*, avoid_d_exposure: bool) -> None:
    order = platelet_preference(GROUP_CODE["B+"], avoid_d_exposure=avoid_d_exposure)
    assert order[GROUP_CODE["B-"]] == order[GROUP_CODE["B+"]] == 0


@pytest.mark.parametrize("component", Component)
def test_substitution_costs_are_finite_exactly_where_blood_fits(component: Component) -> None:
    for recipient in range(9):
        costs = substitution_costs(recipient, component)
        fits = compatible_groups(recipient, component)
        assert np.isfinite(costs).tolist() == fits.tolist()
        assert costs[recipient] == 0.0
        assert ((costs[fits] >= 0.0) & (costs[fits] <= 1.0 + 1e-12)).all()


def test_substitution_costs_of_platelets_follow_the_order_of_choice() -> None:
    recipient = GROUP_CODE["A-"]
    costs = substitution_costs(recipient, Component.PLATELETS, avoid_d_exposure=True)
    order = platelet_preference(recipient, avoid_d_exposure=True)
    assert np.argsort(costs[:8], kind="stable").tolist() == np.argsort(order[:8], kind="stable").tolist()
