"""How many donors to ask so that enough of them donate.

The number who donate is Poisson-binomial: independent donors, each with their own probability. Donors asked for one
request share its luck (weather, a festival, how the message reads), which makes shortfalls likelier than independence
says. That luck is a normal effect on the log-odds of all of them, integrated by Gauss-Hermite quadrature; each donor's
log-odds are moved so that their probability, averaged over luck, stays what the model gave.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit, logit

from backend.domains.blood.records import Floats

POOL_LIMIT: Final = 2_000
"""The most donors considered for one request."""

_NODES: Final = 31
_NEWTON_STEPS: Final = 4
_CLOSEST_TO_CERTAIN: Final = 1e-9  # log-odds of exactly 0 and 1 are infinite


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
    given_luck, weight = _by_luck(np.asarray(p[:POOL_LIMIT], dtype=np.float64), request_sd)
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


def _by_luck(p: Floats, request_sd: float) -> tuple[Floats, Floats]:
    """Return each donor's probability at every quadrature node (n, nodes) and the nodes' weights, which sum to 1."""
    if request_sd == 0.0:
        return p[:, None], np.ones(1)
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    weight = weight / weight.sum()
    effect = request_sd * node
    bounded = np.clip(p, _CLOSEST_TO_CERTAIN, 1.0 - _CLOSEST_TO_CERTAIN)
    goal = logit(bounded)
    # The probit approximation starts within a few per cent; Newton on the log-odds of the mean ends within 1e-8.
    centre = goal * np.sqrt(1.0 + (request_sd * 16.0 * np.sqrt(3.0) / (15.0 * np.pi)) ** 2)
    for _ in range(_NEWTON_STEPS):
        given_luck = expit(centre[:, None] + effect)
        mean = given_luck @ weight
        slope = (given_luck * (1.0 - given_luck)) @ weight
        centre -= (logit(mean) - goal) * mean * (1.0 - mean) / slope
    return expit(centre[:, None] + effect), weight
