"""What a blood bank keeps and for how long: dating periods as data.

Source: Code of Federal Regulations, title 21, section 610.53, table of dating periods for whole blood and blood
components (United States). A period is counted from the moment of collection, so it ends up to a day earlier than on
labels that run to midnight; where the bag states its expiry, that is what counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from backend.domains.blood.records import Component

COMPONENTS: Final = (*(component.name.lower() for component in Component), "whole_blood", "cryoprecipitate")
"""What units are, by code: first the components that can be requested, then what is kept apart from them. Whole blood
suits the identical group only and is mostly there to be separated; cryoprecipitate replaces no plasma."""

IRRADIATED_DAYS: Final = 28  # from irradiation


@dataclass(frozen=True, slots=True)
class Product:
    """One product: its component, days from collection that it keeps, storage, and whether it is irradiated."""

    component: str
    days: int
    storage: str
    irradiated: bool = False


PRODUCTS: Final[Mapping[str, Product]] = MappingProxyType(
    {
        "whole_blood_cpda1": Product("whole_blood", 35, "1 to 6 °C"),
        "red_cells_cpda1": Product("red_cells", 35, "1 to 6 °C"),
        "red_cells_additive": Product("red_cells", 42, "1 to 6 °C"),
        "red_cells_cpda1_irradiated": Product("red_cells", 35, "1 to 6 °C", irradiated=True),
        "red_cells_additive_irradiated": Product("red_cells", 42, "1 to 6 °C", irradiated=True),
        "platelets": Product("platelets", 5, "20 to 24 °C"),
        "platelets_apheresis": Product("platelets", 5, "20 to 24 °C"),
        "fresh_frozen_plasma": Product("plasma", 365, "-18 °C or colder"),
        "cryoprecipitate": Product("cryoprecipitate", 365, "-18 °C or colder"),
    }
)


def expires_at(product: str, collected_at: datetime, *, irradiated_at: datetime | None = None) -> datetime:
    """Return when a unit of `product` expires.

    An irradiated one keeps 28 days from irradiation and never longer than it would have without; if nobody says when
    it was irradiated, the 28 days count from collection, because it cannot have been before.

    Raises:
        ValueError: no such product, it is not an irradiated one, or it was irradiated before it was collected.
    """
    if product not in PRODUCTS:
        raise ValueError(f"unknown product {product!r}; one of {', '.join(PRODUCTS)}")
    kept = PRODUCTS[product]
    if irradiated_at is not None and not kept.irradiated:
        raise ValueError(f"{product} is not irradiated, but a time of irradiation is given")
    if irradiated_at is not None and irradiated_at < collected_at:
        raise ValueError("irradiated before it was collected")
    end = collected_at + timedelta(days=kept.days)
    if kept.irradiated:
        end = min(end, (irradiated_at or collected_at) + timedelta(days=IRRADIATED_DAYS))
    return end
