"""How many donors the next wave asks.

Asking a donor now costs one alert, and is for nothing if those already asked are enough, which has probability P.
Asking the same donor one interval later costs an alert only if they were not (1 - P), but that alert is worth only a
share w of what it is now, because less time is left to answer in, and the donation comes later, which is worth the
share `Pace.patience`. Waiting is better as soon as 1 - P < w * patience, so a wave asks until

    P >= level = min(target, 1 - w * patience),

few at first and, as the deadline nears and w falls to 0, as many as the target needs. A second rule protects requests
with few donors in reach: those asked now and, one interval later, everybody else together must still reach the target
(or come within `MAY_LOSE` of what everybody asked now would reach). `patience` and `MAY_LOSE` are judgements, not fits.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np

from backend.domains.blood.outreach.outlook import Outlook
from backend.domains.blood.records import Floats

MAY_LOSE: Final = 0.005
"""The probability of enough that waiting one interval may cost a request that cannot reach its target."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How many of the ranked donors to ask, within which radius, and what everybody asked now would reach."""

    donors: int
    radius_km: float
    reachable: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """Donors who may be asked, best first (n,): their chances given luck when asked now and one interval later."""

    distance_km: Floats
    now: Floats  # (n, nodes)
    later: Floats  # (n, nodes)

    def worth_of_waiting(self) -> float:
        """Return the share of all chances that is left one interval later; 0 if there are none."""
        now, later = float(self.now.sum()), float(self.later.sum())
        return later / now if now > 0.0 else 0.0


def level_to_reach(ranked: Ranked, *, patience: float, target: float, planned: float = 0.0) -> float:
    """Return the probability of enough that a wave brings about.

    `planned` is what the waves before it in the same plan bring about; this one is only sent if they turn out short,
    so it closes the same share of the rest.
    """
    level = 1.0 - ranked.worth_of_waiting() * patience
    return min(target, 1.0 - (1.0 - level) * (1.0 - planned))


def choose(outlook: Outlook, ranked: Ranked, *, radii: tuple[float, ...], level: float, target: float) -> Choice:
    """Return the fewest donors, from the top within the narrowest of `radii`, that meet both rules; else all.

    `radii` grow; the last one takes in all of `ranked`.
    """
    reachable = outlook.probability_with(ranked.now)
    safe = min(target, reachable - MAY_LOSE)
    for radius in radii:
        near = ranked.distance_km <= radius
        now, later, far = ranked.now[near], ranked.later[near], ranked.later[~near]

        def enough(count: int, now: Floats = now) -> float:
            return outlook.probability_with(now[:count])

        def enough_later(count: int, now: Floats = now, rest: Floats = later, far: Floats = far) -> float:
            return outlook.probability_with(np.concatenate((now[:count], rest[count:], far)))

        counts = range(len(now) + 1)
        count = bisect_left(counts, min(level, reachable), key=enough)
        if count <= len(now) and enough_later(count) < safe:
            count = bisect_left(counts, safe, lo=count, key=enough_later)
        if count <= len(now):
            return Choice(count, radius, reachable)
    return Choice(len(ranked.now), radii[-1], reachable)
