"""Make scores mean what they say: logistic recalibration, intervals by score, and the spread between groups of rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Groups = NDArray[np.int64]

CERTAIN = 1e-9  # a probability nearer to 0 or 1 has no usable logit


def logit(probability: Floats) -> Floats:
    """Return log(p / (1 - p)) with p kept `CERTAIN` away from 0 and 1."""
    p = np.clip(probability, CERTAIN, 1.0 - CERTAIN)
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True, slots=True)
class LogisticCalibration:
    """sigmoid(slope * logit(p) + intercept) (Platt 1999, in logit space)."""

    slope: float
    intercept: float

    def apply(self, probability: Floats) -> Floats:
        """Return the recalibrated probability, same shape."""
        return np.asarray(expit(self.slope * logit(probability) + self.intercept))


def fit_logistic_calibration(*, probability: Floats, outcome: Flags, steps: int = 50) -> LogisticCalibration:
    """Fit slope and intercept by maximum likelihood (Newton) to `probability` (n,) and `outcome` (n,).

    Raises:
        ValueError: the outcomes are all alike, so nothing can be fitted.
    """
    if outcome.all() or not outcome.any():
        raise ValueError("calibration needs both outcomes")
    x = np.column_stack((logit(probability), np.ones(len(probability))))
    line = np.array([1.0, 0.0])
    for _ in range(steps):
        p = expit(x @ line)
        gradient = x.T @ (outcome - p)
        # A whisper of ridge keeps the step finite when all probabilities are equal.
        step = np.linalg.solve((x.T * (p * (1.0 - p))) @ x + 1e-9 * np.eye(2), gradient)
        line = line + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return LogisticCalibration(slope=float(line[0]), intercept=float(line[1]))


@dataclass(frozen=True, slots=True)
class IntervalCurve:
    """The rate at which the event happens to rows of a score: between `low` and `high`, linear between the knots."""

    level: float
    scores: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, score: Floats) -> tuple[Floats, Floats]:
        """Return the interval's low and high at each score, the end knots' beyond them."""
        return np.interp(score, self.scores, self.low), np.interp(score, self.scores, self.high)

    @classmethod
    def fit(
        cls,
        *,
        score: Floats,
        outcome: Flags,
        group: Groups,
        shift_sd: float,
        seed: int,
        level: float = 0.9,
        bins: int = 20,
        resamples: int = 500,
    ) -> Self:
        """Bootstrap the observed rate of equally full score bins; whole groups are drawn, as their rows share luck.

        Takes scores, outcomes and groups (n,) each. All rates of a resample move together by N(0, `shift_sd`) logits,
        since another period will not be like this one (`fit_period_sd`). The curves never fall as the score rises.
        """
        edges = np.unique(np.quantile(score, np.linspace(0.0, 1.0, bins + 1)))
        bins = max(len(edges) - 1, 1)
        bin_of = np.searchsorted(edges[1:-1], score, side="right")
        _, member = np.unique(group, return_inverse=True)
        groups = int(member.max()) + 1
        cell = member * bins + bin_of
        rows = np.bincount(cell, minlength=groups * bins).reshape(groups, bins).astype(np.float64)
        events = np.bincount(cell, weights=outcome, minlength=groups * bins).reshape(groups, bins)
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(groups, np.full(groups, 1.0 / groups), size=resamples)
        # Half an event and one row more keep a bin without events from an interval of no width (Jeffreys).
        rates = (draws @ events + 0.5) / (draws @ rows + 1.0)
        rates = expit(logit(rates) + shift_sd * rng.standard_normal((resamples, 1)))
        low, high = np.quantile(rates, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
        knots = np.bincount(bin_of, weights=score, minlength=bins) / np.bincount(bin_of, minlength=bins)
        return cls(
            level=level,
            scores=tuple(knots.tolist()),
            low=tuple(np.maximum.accumulate(low).tolist()),
            high=tuple(np.maximum.accumulate(high).tolist()),
        )


def fit_group_sd(*, probability: Floats, outcome: Flags, group: Groups, nodes: int = 15) -> float:
    """Return the standard deviation, in logits, of what the rows of one group share and `probability` does not know.

    Maximises the marginal likelihood of logit P = a + b logit(p) + sd u_group, u ~ N(0, 1) (Gauss-Hermite).
    """
    x = logit(probability)
    _, member = np.unique(group, return_inverse=True)
    groups = int(member.max()) + 1
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    log_weights = np.log(weights / weights.sum())
    sign = np.where(outcome, 1.0, -1.0)

    def negative_log_likelihood(theta: Floats) -> float:
        intercept, slope, log_sd = theta
        by_node = np.empty((groups, nodes))
        for j, point in enumerate(points):
            eta = intercept + slope * x + np.exp(log_sd) * point
            by_node[:, j] = np.bincount(member, weights=log_expit(sign * eta), minlength=groups)
        return -float(logsumexp(by_node + log_weights, axis=1).sum()) / groups

    start = np.array([0.0, 1.0, np.log(0.3)])
    bounds = [(-5.0, 5.0), (0.1, 5.0), (np.log(1e-3), np.log(5.0))]
    found = minimize(negative_log_likelihood, start, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[2]))


def fit_period_sd(*, probability: Floats, outcome: Flags, group: Groups, period: Groups) -> float:
    """Return by how much, in logits (root mean square), periods miss what `probability` (n,) says of them.

    Moments after DerSimonian and Laird (1986): the spread of the periods' shifts less what chance alone would give,
    with the rows of one `group` (n,) counted as one observation.
    """
    _, period_of = np.unique(period, return_inverse=True)
    information = np.bincount(period_of, weights=probability * (1.0 - probability))
    shift = np.bincount(period_of, weights=outcome - probability) / information
    # A group that crosses the border of two periods counts in each.
    cells, cell_of = np.unique(np.stack((period_of, group)), axis=1, return_inverse=True)
    residual = np.bincount(cell_of, weights=outcome - probability)
    by_chance = np.bincount(cells[0], weights=residual**2) / information**2
    return float(np.sqrt(max(float(np.mean(shift**2) - np.mean(by_chance)), 0.0)))
