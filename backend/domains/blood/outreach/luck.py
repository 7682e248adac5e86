"""What donors asked for one request share: weather, a festival, how the message reads.

That luck is a normal effect on the log-odds of all of them, integrated by Gauss-Hermite quadrature; each donor's
log-odds are moved so that their probability, averaged over luck, stays what the model gave.
"""

from functools import cache
from typing import Final

import numpy as np
from scipy.special import expit, logit

from backend.domains.blood.records import Floats

NODES: Final = 31
_NEWTON_STEPS: Final = 4
_CLOSEST_TO_CERTAIN: Final = 1e-9  # log-odds of exactly 0 and 1 are infinite


def by_luck(p: Floats, request_sd: float) -> tuple[Floats, Floats]:
    """Return each donor's probability at every quadrature node (n, nodes) and the nodes' weights, which sum to 1.

    `p` (n,) are probabilities averaged over luck; `request_sd` is the standard deviation of luck in log-odds.
    """
    if request_sd == 0.0:
        return p[:, None], np.ones(1)
    node, weight = _quadrature()
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


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Return the nodes of a standard normal variable (nodes,) and their weights, which sum to 1."""
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    weight = weight / weight.sum()
    node.flags.writeable = weight.flags.writeable = False
    return node, weight
