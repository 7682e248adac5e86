"""How many donors to ask at once so that enough of them donate.

The number who donate is Poisson-binomial: donors who are independent given the luck they share (`luck`), each with a
probability of their own. Shared luck makes shortfalls likelier than independence says.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from backend.domains.blood.outreach.luck import by_luck
from backend.domains.blood.records import Floats

POOL_LIMIT: Final = 2_000
"""The most donors considered for one request."""


@dataclass(frozen=True, slots=True)
class AskPlan:
    """How many donors to ask, best first, of the `pool`, and the probability that enough of them donate."""

    donors: int
    pool: int
    probability: float
    target: float

    @property
    def reached(self) -> bool:
        """Whether the probability reaches the target; if not, `donors` is all that were considered."""
        return self.probability >= self.target


def donors_to_ask(p: Floats, units: int, *, target: float = 0.95, request_sd: float = 0.0) -> AskPlan:
    """Return the fewest donors from the top of `p` (n,) with P(at least `units` donate) >= `target`.

    `p` are calibrated probabilities in rank order, of which the first `POOL_LIMIT` count; `request_sd` is the standard
    deviation of the shared effect in log-odds. The probability is exact without a shared effect, within 1e-4 for an sd
    up to 1 and within 0.01 up to 2.

    Raises:
        ValueError: units below 1, a target outside (0, 1), or an sd outside [0, 2].
    """
    if units < 1 or not 0.0 < target < 1.0 or not 0.0 <= request_sd <= 2.0:
        raise ValueError("units must be at least 1, target inside (0, 1) and request_sd inside [0, 2]")
    given_luck, weight = by_luck(np.asarray(p[:POOL_LIMIT], dtype=np.float64), request_sd)
    short = np.zeros((units, len(weight)))  # P(exactly k donate | luck) for k below units; the rest is success
    short[0] = 1.0
    asked, probability = 0, 0.0
    for donates in given_luck:
        asked += 1
        arrives = short * donates
        short -= arrives
        short[1:] += arrives[:-1]
        probability = max(1.0 - float(short.sum(axis=0) @ weight), 0.0)
        if probability >= target:
            break
    return AskPlan(asked, len(p), probability, target)
