"""How many of several independent events happen: the Poisson-binomial distribution, as far as it is needed.

The generating polynomials of the events are multiplied pairwise, all nodes of shared luck together, and cut at the
number that is enough: whatever lies above it is success.
"""

import numpy as np

from backend.domains.blood.records import Floats


def short_of(units: int, chances: Floats) -> Floats:
    """Return P(exactly k of n events happen) for k below `units` (units, nodes), from their chances (n, nodes)."""
    if not len(chances):
        return certainly_none(units, chances.shape[1])
    factors = np.stack((1.0 - chances, chances), axis=1)[:, :units]  # (n, coefficients, nodes)
    while len(factors) > 1:
        left_over = factors[len(factors) & ~1 :]
        factors = product(units, factors[0:-1:2], factors[1::2])
        if len(left_over):
            padded = np.zeros((1, *factors.shape[1:]))
            padded[:, : left_over.shape[1]] = left_over
            factors = np.concatenate((factors, padded))
    short = np.zeros((units, chances.shape[1]))
    short[: factors.shape[1]] = factors[0]
    return short


def certainly_none(units: int, nodes: int) -> Floats:
    """Return the distribution (units, nodes) of a count that is 0."""
    short = np.zeros((units, nodes))
    short[0] = 1.0
    return short


def product(units: int, one: Floats, other: Floats) -> Floats:
    """Return the distribution below `units` of sums of independent counts; (..., a, nodes) and (..., b, nodes)."""
    most = min(units, one.shape[-2] + other.shape[-2] - 1)
    total = np.zeros((*one.shape[:-2], most, one.shape[-1]))
    for k in range(min(one.shape[-2], most)):
        rest = other[..., : most - k, :]
        total[..., k : k + rest.shape[-2], :] += one[..., k : k + 1, :] * rest
    return total
