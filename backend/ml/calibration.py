"""Make scores mean what they say: logistic recalibration, and intervals by score."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Groups = NDArray[np.int64]

CERTAIN = 1e-9  # a probability nearer to 0 or 1 has no usable logit


def logit(probability: Floats) -> Floats:
    """Return log(p / (1 - p)) with p kept `CERTAIN` away from 0 and 1."""
    p = np.minimum(np.maximum(probability, CERTAIN), 1.0 - CERTAIN)  # np.clip costs a microsecond more
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
        """Return the interval's low and high at each score; beyond the end knots, as far from the score as there.

        The distance is kept in logits, so that an interval beyond the last knot moves on with the score.
        """
        beyond = logit(score) - logit(np.clip(score, self.scores[0], self.scores[-1]))
        low, high = (np.interp(score, self.scores, curve) for curve in (self.low, self.high))
        return expit(logit(low) + beyond), expit(logit(high) + beyond)

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
