"""Where a donor's own probability of accepting lies."""

import numpy as np
from scipy.special import expit, ndtri

from backend.domains.blood.records import Floats
from backend.ml.calibration import IntervalCurve, logit


def own_interval(
    score: Floats, *, asks: Floats, rate: IntervalCurve, donor_sd: float, request_sd: float
) -> tuple[Floats, Floats]:
    """Return low and high (n,) of each donor's own probability for one request, at the level of the curve `rate`.

    Three independent errors add up, in logits: how far the rate at such a score is known (`rate`), how much requests
    differ (`request_sd`), and how much donors with such a score do. The last is N(0, `donor_sd`) for a donor never
    asked; each of the donor's (decayed) `asks` (n,) adds the information p (1 - p) of one observation (Laplace's
    approximation of the posterior).
    """
    centre = logit(score)
    variance = donor_sd**2 / (1.0 + donor_sd**2 * asks * score * (1.0 - score))
    own = ndtri((1.0 + rate.level) / 2.0) * np.sqrt(variance + request_sd**2)
    low, high = rate.at(score)
    below, above = np.maximum(centre - logit(low), 0.0), np.maximum(logit(high) - centre, 0.0)
    return expit(centre - np.hypot(below, own)), expit(centre + np.hypot(above, own))
