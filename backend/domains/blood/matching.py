"""In which order to ask the candidates, how far to look and how many to show.

The order is the probability of a donation in time, less small charges that decide between near-equals: for blood that
others need more, and for donors who have been asked a lot. Urgency only widens the search; nothing here lowers a
donor's value because a request is urgent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from backend.domains.blood.records import Floats, Ints

CRITICAL: Final = 4
"""The urgency that ignores how recently donors were asked."""

RADIUS_KM: Final[Mapping[int, float]] = MappingProxyType({1: 15.0, 2: 25.0, 3: 35.0, 4: 50.0})
"""How far to look, by urgency, unless the request says; our choice, within a day's errand at every level."""

MATCHES_PER_UNIT: Final[Mapping[int, int]] = MappingProxyType({1: 10, 2: 15, 3: 20, 4: 30})
"""Donors to return for each unit, by urgency: at one donation in ten asked, 29 give one unit with 95 % certainty."""

MOST_MATCHES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingPolicy:
    """What is charged against a probability; 3.5 points of probability outweigh the most the defaults take."""

    per_scarcity: float = 0.02
    """Charge for the costliest substitution, `rules.substitution_costs` 1."""
    per_recent_ask: float = 0.005
    """Charge for each time the donor was asked in the last 30 days."""


DEFAULT_RANKING: Final = RankingPolicy()


def rank(
    p: Floats,
    *,
    distance_km: Floats,
    scarcity: Floats,
    recent_asks: Ints,
    donor_id: Ints,
    top_k: int | None = None,
    policy: RankingPolicy = DEFAULT_RANKING,
) -> Ints:
    """Return the positions of the best `top_k` (1 or more, None all) of n donors, best first; columns are (n,).

    Equal values are ordered by distance, then by donor id, so that the answer depends on nothing else.

    Raises:
        ValueError: a probability or a cost is not a number, as a model that failed would give.
    """
    value = p - policy.per_scarcity * scarcity - policy.per_recent_ask * recent_asks
    if np.isnan(value).any():
        raise ValueError("cannot rank donors without a value")
    contenders = np.arange(len(value))
    if top_k is not None and top_k < len(value):
        kth_best = np.partition(value, len(value) - top_k)[len(value) - top_k]
        contenders = np.flatnonzero(value >= kth_best)  # with all its equals, which distance decides
    order = np.lexsort((donor_id[contenders], distance_km[contenders], -value[contenders]))
    return contenders[order[:top_k]]


def matches_to_return(units: int, urgency: int) -> int:
    """Return how many donors to show by default for a request of `units` at `urgency` 1 to 4."""
    return min(units * MATCHES_PER_UNIT[urgency], MOST_MATCHES)
