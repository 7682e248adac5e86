"""How fast and how far a request searches, by urgency and by the clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from backend.domains.blood.horizons import DAY, HORIZON_HOURS, HOUR, IST_SECONDS
from backend.domains.blood.matching import CRITICAL, RADIUS_KM

QUIET_FROM: Final = 22.0
QUIET_UNTIL: Final = 7.0
"""Local hours between which nobody is alerted for a request that is not critical."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a request of one urgency searches.

    `interval_hours`: between two looks. Silence says little before a quarter of those who will answer have, which the
    response model puts at 3 h for routine requests and 1 h for critical ones. (BloodConnect sends a wave every 180 s,
    to phones at hand, and asks everyone in it.) A critical request looks more often, because a look then only
    replaces what silence has made unlikely.

    `first_km`, `step_km`: the radius of the first wave and its growth with each further one, up to `RADIUS_KM`. A wave
    goes further at once if it has to.

    `patience`: the worth of a donation that comes one interval later, 1 being one that comes now. A judgement: three of
    ten routine requests may need another wave; a critical one asks for the whole target at once.
    """

    interval_hours: float
    first_km: float
    step_km: float
    patience: float


PACE: Final[Mapping[int, Pace]] = MappingProxyType(
    {
        1: Pace(interval_hours=3.0, first_km=5.0, step_km=5.0, patience=0.30),
        2: Pace(interval_hours=2.0, first_km=10.0, step_km=5.0, patience=0.20),
        3: Pace(interval_hours=1.0, first_km=15.0, step_km=10.0, patience=0.10),
        4: Pace(interval_hours=0.5, first_km=25.0, step_km=12.5, patience=0.05),
    }
)


def searched_as(urgency: int, hours_left: float) -> int:
    """Return the urgency as which a request that is still short searches, at least its own.

    It searches as the next level does once it has less than half the hours that level usually has.
    """
    levels = range(urgency + 1, CRITICAL + 1)
    return max([urgency, *(level for level in levels if hours_left <= HORIZON_HOURS[level] / 2.0)])


def radii(urgency: int, waves: int) -> tuple[float, ...]:
    """Return the radii in km that the next of `waves` waves may use, growing to the widest of `urgency`."""
    pace, widest = PACE[urgency], RADIUS_KM[urgency]
    steps = math.ceil((widest - pace.first_km) / pace.step_km)
    reached = [min(pace.first_km + step * pace.step_km, widest) for step in range(steps + 1)]
    return tuple(reached[min(waves, steps) :])


def next_allowed(at: float, *, urgency: int) -> float:
    """Return the first moment from epoch second `at` on at which donors may be alerted for a request of `urgency`."""
    if urgency == CRITICAL:
        return at
    midnight = math.floor((at + IST_SECONDS) / DAY) * DAY - IST_SECONDS
    hour = (at - midnight) / HOUR
    if hour < QUIET_UNTIL:
        return midnight + QUIET_UNTIL * HOUR
    if hour >= QUIET_FROM:
        return midnight + DAY + QUIET_UNTIL * HOUR
    return at
