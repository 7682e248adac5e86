"""The negative binomial whose variance is a constant multiple of its mean, as reference distribution of a day."""

import numpy as np
from scipy.special import betainc, nbdtrik

from backend.domains.blood.records import Floats

LEAST_DISPERSION = 1.05  # below it the distribution is Poisson for every purpose
PARTS_PER_UNIT = 4.0  # values that are not whole are counted in quarters of their own noise unit
LEAST_MEAN = 1e-3


def measure(dispersion: Floats, *, whole: bool) -> tuple[Floats, Floats]:
    """Return in what unit values are counted, and the dispersion in that unit; both like `dispersion`."""
    if whole:
        return np.ones_like(dispersion), np.maximum(dispersion, LEAST_DISPERSION)
    return dispersion / PARTS_PER_UNIT, np.full_like(dispersion, PARTS_PER_UNIT)


def below_and_up_to(value: Floats, mean: Floats, dispersion: Floats) -> tuple[Floats, Floats]:
    """Return P(Y < value) and P(Y <= value), continued smoothly between whole numbers."""
    size = np.maximum(mean, LEAST_MEAN) / (dispersion - 1.0)
    chance = 1.0 / dispersion
    up_to = np.asarray(betainc(size, value + 1.0, chance), dtype=np.float64)
    below = np.where(value > 0.0, betainc(size, np.maximum(value, 1e-12), chance), 0.0)
    return np.asarray(below, dtype=np.float64), up_to


def quantile(level: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return the smallest whole number y with P(Y <= y) >= level."""
    size = np.maximum(mean, LEAST_MEAN) / (dispersion - 1.0)
    chance = 1.0 / dispersion
    # Not scipy.stats.nbinom.ppf, which finds the same: that module costs every process a second to import.
    above = np.maximum(np.ceil(nbdtrik(level, size, chance)), 0.0)
    one_less = np.maximum(above - 1.0, 0.0)
    return np.asarray(np.where(betainc(size, one_less + 1.0, chance) >= level, one_less, above), dtype=np.float64)
