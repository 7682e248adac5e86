from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.records import Component
from backend.domains.blood.shelf_lives import COMPONENTS, IRRADIATED_DAYS, PRODUCTS, expires_at

COLLECTED = datetime(2026, 3, 4, 6, 30, tzinfo=UTC)
IRRADIATED = [name for name, product in PRODUCTS.items() if product.irradiated]


@pytest.mark.parametrize(
    ("product", "days"),
    [
        ("whole_blood_cpda1", 35),
        ("red_cells_cpda1", 35),
        ("red_cells_additive", 42),
        ("red_cells_cpda1_irradiated", 28),
        ("red_cells_additive_irradiated", 28),
        ("platelets", 5),
        ("platelets_apheresis", 5),
        ("fresh_frozen_plasma", 365),
        ("cryoprecipitate", 365),
    ],
)
def test_a_unit_expires_after_the_dating_period_of_its_product(product: str, days: int):
    assert expires_at(product, COLLECTED) == COLLECTED + timedelta(days=days)


def test_every_product_is_of_a_component_and_those_that_are_requested_have_the_codes_of_requests():
    assert {product.component for product in PRODUCTS.values()} == set(COMPONENTS)
    assert [COMPONENTS.index(component.name.lower()) for component in Component] == list(Component)


@given(product=st.sampled_from(IRRADIATED), after=st.timedeltas(timedelta(), timedelta(days=60)))
def test_irradiation_shortens_to_28_days_and_never_lengthens(product: str, after: timedelta):
    end = expires_at(product, COLLECTED, irradiated_at=COLLECTED + after)
    assert end <= COLLECTED + timedelta(days=PRODUCTS[product].days)
    assert end <= COLLECTED + after + timedelta(days=IRRADIATED_DAYS)
    assert end >= expires_at(product, COLLECTED)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"unknown product 'plazma'; one of whole_blood_cpda1"):
        expires_at("plazma", COLLECTED)
    with pytest.raises(ValueError, match="platelets is not irradiated"):
        expires_at("platelets", COLLECTED, irradiated_at=COLLECTED)
    with pytest.raises(ValueError, match="before it was collected"):
        expires_at("red_cells_cpda1_irradiated", COLLECTED, irradiated_at=COLLECTED - timedelta(days=1))
