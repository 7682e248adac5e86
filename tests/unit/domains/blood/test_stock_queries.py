"""Units near a place, on a real SQLite file."""

from datetime import timedelta

import pytest
from flask import Flask

from backend.domains.blood.stock_queries import UsableUnits, usable_units
from backend.extensions import transaction
from tests.unit.domains.blood.stock_service import NOON, add_bank, add_units


def near(blood_group="A+", component="red_cells", *, radius_km=50.0, at=NOON) -> list[UsableUnits]:
    with transaction(read_only=True) as session:
        return usable_units(
            session,
            component=component,
            blood_group=blood_group,
            latitude=10.0,
            longitude=76.3,
            radius_km=radius_km,
            at=at,
        )


def test_nothing_is_usable_where_there_is_no_bank(blood_app: Flask):
    assert near() == []


def test_the_identical_group_comes_first_then_what_costs_others_least_then_the_nearest(blood_app: Flask):
    here, there = add_bank(name="Here"), add_bank(name="There", latitude=10.2)
    for bank in (there, here):
        for group in ("O-", "O+", "A-", "A+", "B+"):
            add_units(bank, blood_group=group)
    assert [(one.name, one.blood_group) for one in near()] == [
        ("Here", "A+"),
        ("There", "A+"),
        ("Here", "O+"),
        ("There", "O+"),
        ("Here", "A-"),
        ("There", "A-"),
        ("Here", "O-"),
        ("There", "O-"),
    ]


def test_platelets_of_the_own_group_come_before_others_that_are_as_good(blood_app: Flask):
    here, there = add_bank(), add_bank(latitude=10.2)
    add_units(there, blood_group="A+", product="platelets", days=2)
    for group in ("AB+", "O+", "A-", "Oh"):
        add_units(here, blood_group=group, product="platelets", days=2)
    first, second, *others = near(component="platelets")
    assert (first.blood_group, second.blood_group) == ("A+", "A-")
    assert {one.blood_group for one in others} == {"AB+", "O+"}


def test_only_what_can_be_given_counts(blood_app: Flask):
    bank, far = add_bank(), add_bank(latitude=10.5)
    add_units(bank, 2, blood_group="A+", days=5)
    add_units(bank, 3, blood_group="A+", days=9, product="red_cells_cpda1")
    for state in ("reserved", "issued", "discarded"):
        add_units(bank, blood_group="A+", state=state)
    add_units(bank, blood_group="A+", days=-1)
    add_units(bank, blood_group="A+", product="whole_blood_cpda1")
    add_units(bank, blood_group="A+", product="fresh_frozen_plasma")
    add_units(far, 4, blood_group="A+")
    assert near() == [UsableUnits(bank, "General Hospital", 0.0, "A+", 5, NOON + timedelta(days=5))]
    assert near(at=NOON + timedelta(days=5))[0].units == 3, "those that expire at the moment are gone"
    assert [(one.bank_id, one.units) for one in near(radius_km=60.0)] == [(bank, 5), (far, 4)]
    assert near(radius_km=60.0)[1].distance_km == pytest.approx(55.6, abs=0.1)


def test_bombay_is_found_for_bombay_only(blood_app: Flask):
    add_units(add_bank(), blood_group="Oh")
    assert [one.blood_group for one in near("Oh")] == ["Oh"]
    assert near("AB+") == []
