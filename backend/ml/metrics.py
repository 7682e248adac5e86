"""How good probabilities are: proper scores, calibration and ranking."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from backend.ml.calibration import fit_logistic_calibration

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SMALLEST = 1e-12  # keeps a logarithm finite when a model is certain and wrong


def log_losses(outcome: Flags, probability: Floats) -> Floats:
    """Return the negative log-likelihood in nats of each `outcome` (n,) under `probability` (n,)."""
    p = np.clip(probability, SMALLEST, 1.0 - SMALLEST)
    return np.asarray(-np.where(outcome, np.log(p), np.log1p(-p)))


def log_loss(outcome: Flags, probability: Floats) -> float:
    """Return the mean negative log-likelihood in nats of `outcome` (n,) under `probability` (n,)."""
    return float(log_losses(outcome, probability).mean())


def standard_error(value: Floats, group: NDArray[np.int64]) -> float:
    """Return the standard error of the mean of `value` (n,) when the rows of one `group` (n,) share their luck."""
    _, member = np.unique(group, return_inverse=True)
    sums = np.bincount(member, weights=value - value.mean())
    return float(np.sqrt(np.square(sums).sum()) / len(value))


def brier_score(outcome: Flags, probability: Floats) -> float:
    """Return the mean squared error of `probability` (n,) as a forecast of `outcome` (n,)."""
    return float(np.square(probability - outcome).mean())


def auc(outcome: Flags, score: Floats) -> float:
    """Return the chance that a random positive scores above a random negative, ties counting half; NaN without both."""
    positives = int(outcome.sum())
    negatives = len(outcome) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[outcome].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def equal_count_bins(score: Floats, bins: int) -> NDArray[np.intp]:
    """Return each row's bin (n,) in 0 … bins - 1, rows in order of `score` and the bins equally full."""
    order = np.argsort(score, kind="stable")
    bin_of = np.empty(len(score), dtype=np.intp)
    bin_of[order] = np.arange(len(score)) * bins // max(len(score), 1)
    return bin_of


def expected_calibration_error(outcome: Flags, probability: Floats, *, bins: int = 15) -> float:
    """Return the mean distance of predicted mean and observed rate over equally full bins (Naeini et al. 2015)."""
    bin_of = equal_count_bins(probability, bins)
    gap = np.bincount(bin_of, weights=probability - outcome, minlength=bins)
    return float(np.abs(gap).sum() / len(outcome))


def calibration_line(outcome: Flags, probability: Floats) -> tuple[float, float]:
    """Return slope and intercept of the outcome's logit on the predicted logit; (1, 0) is perfect (Cox 1958)."""
    line = fit_logistic_calibration(probability=probability, outcome=outcome)
    return line.slope, line.intercept


def ndcg_at(outcome: Flags, score: Floats, group: NDArray[np.int64], *, k: int) -> float:
    """Return the mean normalised discounted gain at `k` over the groups with a positive; NaN without any."""
    order = np.lexsort((-score, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=np.nan))
    sizes = np.diff(np.append(starts, len(order)))
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    discount = np.where(place < k, 1.0 / np.log2(place + 2.0), 0.0)
    gain = np.add.reduceat(outcome[order] * discount, starts)
    positives = np.add.reduceat(outcome[order].astype(np.int64), starts)
    best = np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))
    found = positives > 0
    if not found.any():
        return float("nan")
    return float((gain[found] / best[np.minimum(positives[found], k) - 1]).mean())


def coverage(value: Floats, low: Floats, high: Floats) -> float:
    """Return the share of `value` (n,) that lies in [low, high]."""
    return float(((low <= value) & (value <= high)).mean())
