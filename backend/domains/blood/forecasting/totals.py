"""Sample paths of all series together, so that a total's interval knows how they move with one another."""

import numpy as np

from backend.domains.blood.forecasting.bank import Bank
from backend.domains.blood.forecasting.intervals import COVERAGES, Reference
from backend.domains.blood.forecasting.windows import WEEK, ratio
from backend.domains.blood.records import Floats

SHIFTS = (-3, 0, 3)  # days by which a past window is moved, to make more paths of it
WITHOUT_PAST = 200  # paths where no past window can be followed


def sample_paths(bank: Bank, origin: int, reference: Reference, points: Floats) -> Floats:
    """Return paths (paths, series, horizon) about the last of `points` (past and now, series, horizon).

    Each path repeats how high every series came out, as a probability, in one past window that ended before `origin`:
    days and series stay together (a Schaake shuffle, Clark et al. 2004). Without such windows series are independent.
    Each series' paths are then scaled so that their mean is that of its forecast, as the mean of a total is.
    """
    rng = np.random.default_rng(origin)
    ranks = _past_ranks(bank, origin, reference, points[:-1], rng)
    if not len(ranks):
        ranks = rng.random((WITHOUT_PAST, *points.shape[1:]))
    paths = reference.quantile(ranks, points[-1])
    # Ranks are not quite even where forecasts missed, most of all those near 0 of series that are rarely more than 0.
    return paths * ratio(points[-1].mean(axis=1), paths.mean(axis=(0, 2)), otherwise=1.0)[:, None]


def total_limits(paths: Floats) -> tuple[Floats, Floats]:
    """Return lower and upper limits (coverages, horizon) of the summed paths (paths, series, horizon)."""
    total = paths.sum(axis=1)
    lower = [(1.0 - coverage) / 2.0 for coverage in COVERAGES]
    upper = [(1.0 + coverage) / 2.0 for coverage in COVERAGES]
    return np.quantile(total, lower, axis=0), np.quantile(total, upper, axis=0)


def _past_ranks(bank: Bank, origin: int, reference: Reference, points: Floats, rng: np.random.Generator) -> Floats:
    rows = np.flatnonzero((bank.origins < origin) & (bank.origins >= origin - bank.reach))
    horizon = points.shape[2]
    ranks = []
    for row, mean in zip(rows, points, strict=True):
        days = min(horizon, int(origin - bank.origins[row]))
        if days < min(horizon, WEEK):
            continue
        actual = bank.actual[row]
        below, up_to = reference.chances(np.nan_to_num(actual), mean)
        rank = below + rng.random(actual.shape) * (up_to - below)
        # A series that had not begun came out anyhow.
        rank = np.where(np.isnan(actual), rng.random(actual.shape), rank)
        ranks += [np.take(rank, np.arange(shift, shift + horizon) % days, axis=1) for shift in SHIFTS]
    return np.clip(np.array(ranks, dtype=np.float64), 1e-6, 1.0 - 1e-6)
