"""How long a stock lasts: units that expire, and demand that takes those first that expire first (FEFO).

Time is in days from now. Demand is what is expected, spread evenly over each day, and takes fractions of units; a unit
that nobody needed before it expires is gone. No donation is counted: the question is how long what is there lasts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Self

import numpy as np

from backend.domains.blood.records import BLOOD_GROUPS, Codes, Component, Flags, Floats, Ints
from backend.domains.blood.rules import compatible_groups

Pool = tuple[int, int, int]  # codes of district, blood group and component

PRIOR_SHARES: Final = (0.80, 0.08, 0.12)  # of the units requested: red cells, plasma, platelets; assumption
PRIOR_UNITS: Final = 100.0  # the shares above count like so many units requested; our choice
ROUNDING: Final = 1e-9  # units
NO_ROWS: Final[Ints] = np.empty(0, dtype=np.int64)


class Units(NamedTuple):
    """Units that have not expired, available or reserved, ordered by expiry: equally long columns (n,)."""

    bank: Ints  # id
    district: Codes
    blood_group: Codes
    product: Codes  # position in shelf_lives.PRODUCTS
    component: Codes  # position in shelf_lives.COMPONENTS
    reserved: Flags
    expires_at: Floats  # seconds since 1970-01-01 UTC
    expires_in: Floats  # days from now


@dataclass(frozen=True, slots=True)
class Demand:
    """Units expected to be asked for: `units` (n,) until `days` (n,) from now; both begin at 0 and never fall."""

    days: Floats
    units: Floats

    @property
    def horizon(self) -> float:
        """Days from now until which anything is known."""
        return float(self.days[-1])

    def until(self, days: Floats) -> Floats:
        """Return the units asked for until each moment (n,), those of the horizon where nothing is known."""
        return np.interp(days, self.days, self.units)


class Cover(NamedTuple):
    """How many days demand is met in full; `at_least` if it is until the end of what is known."""

    days: float
    at_least: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """The forecast of red cells from now on, and what share of all requested units each component has.

    `days` (n + 1,) are the ends of local days from now, beginning with 0; `mean` and `high` (districts, groups, n)
    hold the units of each day, of today what is left, NaN where there is no forecast; `high` is the upper limit of
    the day's 80 % interval, or the mean where that is higher.
    """

    made_at: datetime
    days: Floats
    mean: Floats
    high: Floats
    shares: Floats

    @classmethod
    def of(cls, *, made_at: datetime, midnights: Floats, mean: Floats, high: Floats, shares: Floats) -> Self:
        """Return what is expected from now on, given whole days: `midnights` (n + 1,) in days from now, today's < 0."""
        left = np.ones(len(midnights) - 1)
        left[0] = midnights[1] / (midnights[1] - midnights[0])
        days = np.concatenate([[0.0], midnights[1:]])
        return cls(made_at=made_at, days=days, mean=mean * left, high=np.maximum(mean, high) * left, shares=shares)

    def demand(self, district: int, blood_group: int, component: int) -> Demand | None:
        """Return the demand for a component, in proportion to the red cells; None without a forecast."""
        return self._curve(self.mean[district, blood_group] * (self.shares[component] / self.shares[0]))

    def high_demand(self, district: int, blood_group: int) -> Demand | None:
        """Return the demand for red cells if every day were at the upper limit of its 80 % interval."""
        return self._curve(self.high[district, blood_group])

    def _curve(self, daily: Floats) -> Demand | None:
        if np.isnan(daily).any():
            return None
        return Demand(days=self.days, units=np.concatenate([[0.0], np.cumsum(daily)]))


def component_shares(requested: Floats) -> Floats:
    """Return the share of each component (3,) from the units requested of late (3,), drawn to `PRIOR_SHARES`.

    The posterior mean of a Dirichlet prior, so that an installation with few requests has no component at 0.
    """
    counted = requested + PRIOR_UNITS * np.array(PRIOR_SHARES)
    shares: Floats = counted / counted.sum()
    return shares


def used_until(demand: Demand, expires_in: Floats) -> Floats:
    """Return how many units (n,) are used of the first, the first two, … when each has been used or has expired.

    `expires_in` (n,) ascends. Of i units used(i) = min(used(i-1) + 1, units asked for until unit i expires), since
    demand turns to unit i when those before it are used or gone; as this demand never falls from one unit to the next,
    used(i) - i is the running minimum of what demand lacks.
    """
    rank = np.arange(1, len(expires_in) + 1)
    lacking = np.minimum.accumulate(demand.until(expires_in) - rank) if len(rank) else np.empty(0)
    used: Floats = np.asarray(rank + np.minimum(lacking, 0.0), dtype=np.float64)
    return used


def units_used(demand: Demand, expires_in: Floats) -> float:
    """Return how many of the units (n,) are used within the horizon."""
    return float(used_until(demand, expires_in)[-1]) if len(expires_in) else 0.0


def unused(demand: Demand, expires_in: Floats) -> Floats:
    """Return which part of each unit (n,) nobody will have needed when it expires, or by the horizon if it is later."""
    parts: Floats = 1.0 - np.diff(used_until(demand, expires_in), prepend=0.0)
    return np.clip(parts, 0.0, 1.0)


def days_of_cover(demand: Demand, expires_in: Floats) -> Cover:
    """Return until when the units (n,) meet the demand in full, the last day in part; at most the horizon."""
    met = units_used(demand, expires_in)
    after = int(np.searchsorted(demand.units, met + ROUNDING, side="right"))
    if after == len(demand.units):
        return Cover(demand.horizon, at_least=True)
    days, units = demand.days[after - 1 : after + 1], demand.units[after - 1 : after + 1]
    fraction = max(0.0, (met - units[0]) / (units[1] - units[0]))
    return Cover(float(days[0] + fraction * (days[1] - days[0])), at_least=False)


def split(*keys: Ints | Codes) -> Mapping[tuple[int, ...], Ints]:
    """Return the rows of each combination of `keys` (n,) that occurs, in the order they had."""
    if not len(keys[0]):
        return {}
    order = np.lexsort(keys[::-1])
    table = np.column_stack([key[order] for key in keys])
    starts = np.flatnonzero((np.diff(table, axis=0) != 0).any(axis=1)) + 1
    firsts = table[np.concatenate([[0], starts])].tolist()
    return {tuple(first): rows for first, rows in zip(firsts, np.split(order, starts), strict=True)}


def available_pools(units: Units) -> Mapping[Pool, Ints]:
    """Return the rows of the units that can be given, by district, blood group and component; ordered by expiry."""
    free = np.flatnonzero(~units.reserved)
    found = split(units.district[free], units.blood_group[free], units.component[free])
    return {(key[0], key[1], key[2]): free[rows] for key, rows in found.items()}


def compatible_units(pools: Mapping[Pool, Ints], pool: Pool) -> int:
    """Return how many units of the district may be given to the pool's blood group, those of other groups included."""
    district, recipient, component = pool
    suitable = compatible_groups(recipient, Component(component))
    donors = (group for group in range(len(BLOOD_GROUPS)) if suitable[group])
    return sum(len(pools.get((district, donor, component), ())) for donor in donors)
