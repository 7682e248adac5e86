"""What banks keep: an invented bank in each district, and the units on their shelves at one moment."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domains.blood.geography import DISTRICTS
from backend.domains.blood.horizons import DAY
from backend.domains.blood.records import BLOOD_GROUPS, Codes, Component, Floats, Ints
from backend.domains.blood.rules import GROUP_SHARES
from backend.domains.blood.shelf_lives import PRODUCTS
from backend.domains.blood.simulate.demand import requests_per_day
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.places import Hospitals

PRODUCT_OF = {
    Component.RED_CELLS: "red_cells_additive",
    Component.PLASMA: "fresh_frozen_plasma",
    Component.PLATELETS: "platelets",
}
DAYS_KEPT = {Component.RED_CELLS: 5.0, Component.PLASMA: 20.0, Component.PLATELETS: 1.5}
"""Days of demand on the shelf: assumptions."""


@dataclass(frozen=True, slots=True)
class Units:
    """Units on the shelf, one row each."""

    bank: Ints  # the district it serves
    blood_group: Codes
    product: NDArray[np.str_]
    collected_at: Floats

    def __len__(self) -> int:
        return len(self.bank)


def banks(hospitals: Hospitals) -> Ints:
    """Return for each district (14,) the hospital, the busiest, that keeps its blood."""
    order = np.argsort(hospitals.weight, kind="stable")
    busiest = np.zeros(len(DISTRICTS), dtype=np.int64)
    busiest[hospitals.district[order]] = order  # the last one stays
    return busiest


def draw_units(
    rng: np.random.Generator, *, hospitals: Hospitals, donors: int, now: float, parameters: WorldParameters
) -> Units:
    """Draw the stock of a service with so many donors at epoch second `now`: none of it expired, all ages alike."""
    mean_units = 1.0 + parameters.units_extra
    pull = np.bincount(hospitals.district, weights=hospitals.weight, minlength=len(DISTRICTS))
    daily = requests_per_day(donors, parameters) * mean_units
    shares = np.array([GROUP_SHARES[name] for name in BLOOD_GROUPS])
    shares = shares / shares.sum()
    bank, groups, products, collected = [], [], [], []
    for component, share in zip(Component, parameters.component_shares, strict=True):
        product = PRODUCT_OF[component]
        count = int(rng.poisson(daily * share * DAYS_KEPT[component]))
        bank.append(rng.choice(len(pull), size=count, p=pull / pull.sum()))
        groups.append(rng.choice(len(shares), size=count, p=shares))
        products.append(np.full(count, product))
        collected.append(now - rng.random(count) * PRODUCTS[product].days * DAY)
    return Units(
        bank=np.concatenate(bank),
        blood_group=np.concatenate(groups).astype(np.int8),
        product=np.concatenate(products),
        collected_at=np.concatenate(collected),
    )
