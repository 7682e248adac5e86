"""Intervals by conformal calibration for each band of volume and stretch of the horizon.

Each day gets a negative binomial about its forecast. How far out an observation lies is the smallest central interval
of it that holds the observation; the intervals reported are as wide as the calibration days say: the weighted 80 % and
95 % quantiles of that score (distributional conformal prediction, Chernozhukov, Wüthrich and Zhu 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backend.domains.blood.forecasting.bank import Bank
from backend.domains.blood.forecasting.counts import below_and_up_to, measure, quantile
from backend.domains.blood.forecasting.metrics import QUANTILES
from backend.domains.blood.forecasting.selection import SILENT, Bands, recency
from backend.domains.blood.forecasting.windows import ratio
from backend.domains.blood.records import Flags, Floats, Ints

COVERAGES = (0.80, 0.95)
STRETCHES = (7, 14, 30, 90, 180)  # a stretch of the horizon ends after so many days
OWN_DAYS = 60.0  # a series' own dispersion weighs against its band's as so many days
BLOCK_DAYS = 30  # days of the calendar that share their luck
CELL_DAYS = 100  # a band's stretch with fewer calibration days borrows the whole band's, then every series' not silent
OUTERMOST = 1.0 - 1e-5  # an interval further out than that is not worth its width
HAIR = 1e-9  # a value just as far out as the interval reaches lies within it, as it does where it is counted


@dataclass(frozen=True, slots=True)
class Reference:
    """The distribution of a day about its forecast, before calibration."""

    whole: bool  # values are counts
    dispersion: Floats  # (series,) variance per unit of mean

    def chances(self, actual: Floats, mean: Floats) -> tuple[Floats, Floats]:
        """Return P(Y < actual) and P(Y <= actual) (..., series, horizon)."""
        unit, dispersion = measure(self.dispersion[:, None], whole=self.whole)
        return below_and_up_to(actual / unit, mean / unit, dispersion)

    def quantile(self, level: Floats, mean: Floats) -> Floats:
        """Return the quantile at `level` (..., series, horizon), never below 0."""
        unit, dispersion = measure(self.dispersion[:, None], whole=self.whole)
        return unit * quantile(level, mean / unit, dispersion)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns point forecasts at one origin into distributions that keep what they promise."""

    reference: Reference
    central: Floats  # (coverages, series, horizon) central probabilities of the reference that cover as often as asked
    levels: Floats  # (quantiles, series, horizon) levels of the reference that are passed as often as asked

    def covered(self, actual: Floats, mean: Floats) -> Flags:
        """Return which of `actual` (series, horizon) the intervals about `mean` hold (coverages, series, horizon)."""
        return outlyingness(*self.reference.chances(actual, mean)) <= self.central

    def quantiles(self, mean: Floats) -> Floats:
        """Return the quantiles (quantiles, series, horizon) at `QUANTILES`."""
        return self.reference.quantile(self.levels, mean)

    def limits(self, mean: Floats) -> tuple[Floats, Floats]:
        """Return the intervals' lower and upper limits (coverages, series, horizon)."""
        lower = self.reference.quantile((1.0 - self.central) / 2.0 - HAIR, mean)
        return lower, self.reference.quantile((1.0 + self.central) / 2.0 + HAIR, mean)


def outlyingness(below: Floats, up_to: Floats) -> Floats:
    """Return the smallest central probability whose interval holds a value, from P(Y < value) and P(Y <= value)."""
    return np.maximum(np.maximum(1.0 - 2.0 * up_to, 2.0 * below - 1.0), 0.0)


def calibrate(bank: Bank, origin: int, bands: Bands, points: Floats, *, whole: bool) -> Calibration:
    """Calibrate the method that forecast `points` (past origins, series, horizon), from days before `origin` only."""
    rows, happened = bank.past(origin)
    known, actual, points = ~np.isnan(happened), np.nan_to_num(happened), points[:, :, bank.judged]
    weight = np.where(known, recency(bank, rows, origin)[:, None, None], 0.0)
    band_now = bands.of(bank.level[bank.row(origin)])
    dispersion = _dispersion(actual, points, weight, band_now)
    reference = Reference(whole, dispersion)
    below, up_to = reference.chances(actual, points)
    block = (bank.origins[rows][:, None, None] + bank.judged) // BLOCK_DAYS
    cells = _Cells(bands.of(bank.level[rows]), bank.judged, weight, block, band_now, bank.actual.shape[2])
    central = cells.quantiles(outlyingness(below, up_to), lambda sample: sample.conformal(COVERAGES))
    levels = cells.quantiles((below + up_to) / 2.0, lambda sample: sample.quantiles(QUANTILES))
    return Calibration(
        reference, central=np.minimum(central, OUTERMOST), levels=np.clip(levels, 1.0 - OUTERMOST, OUTERMOST)
    )


def _dispersion(actual: Floats, points: Floats, weight: Floats, band: Ints) -> Floats:
    """Return variance per unit of mean (series,), each series' own shrunk to its band's."""
    squares = (weight * np.square(actual - points)).sum(axis=(0, 2))
    means = (weight * points).sum(axis=(0, 2))
    days = weight.sum(axis=(0, 2))
    of_all = ratio(squares.sum(), means.sum(), otherwise=1.0)
    of_band = ratio(np.bincount(band, weights=squares), np.bincount(band, weights=means))
    shared = np.where(of_band > 0.0, of_band, np.where(of_all > 0.0, of_all, 1.0))[band]
    prior = OWN_DAYS * ratio(means, days, otherwise=0.0)
    own = ratio(squares + prior * shared, means + prior)
    return np.where(own > 0.0, own, shared)


class Sample:
    """Weighted scores (n,), sorted once for all that is asked of them."""

    def __init__(self, score: Floats, weight: Floats, block: Ints) -> None:
        order = np.argsort(score)
        self._score, self._weight, self._block = score[order], weight[order], block[order]
        self._reached = np.cumsum(self._weight)

    def quantiles(self, levels: tuple[float, ...]) -> Floats:
        """Return the smallest scores at which the weights reach each level; the levels themselves without any score."""
        if not len(self._score):
            return np.array(levels)
        place = np.searchsorted(self._reached, np.array(levels) * self._reached[-1])
        return np.asarray(self._score[np.minimum(place, len(self._score) - 1)])

    def conformal(self, levels: tuple[float, ...]) -> Floats:
        """Return the scores that a new one stays below as often as the levels say.

        A quantile of n scores is passed once in n + 1 times too often. Scores of the same stretch of the calendar share
        its luck, so n is how many independent ones would vary as much as the blocks do.
        """
        return self.quantiles(tuple(self._corrected(level) for level in levels))

    def _corrected(self, level: float) -> float:
        if not len(self._score):
            return level
        miss = (self._score <= self.quantiles((level,))) - level
        by_block = np.bincount(self._block - self._block.min(), weights=self._weight * miss)
        variance = float(np.square(by_block).sum()) / float(self._reached[-1]) ** 2
        return min(level * (1.0 + variance / (level * (1.0 - level))), 1.0)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Calibration days sorted into bands of volume and stretches of the horizon, and who asks."""

    band: Ints  # (past, series)
    day: Ints  # (judged,) of the horizon
    weight: Floats  # (past, series, judged), 0 where a day does not count
    block: Ints  # (past, 1, judged) which stretch of the calendar a day lies in
    band_now: Ints  # (series,)
    horizon: int

    def quantiles(self, score: Floats, ask: Callable[[Sample], Floats]) -> Floats:
        """Return what `ask` (levels,) says of each series' cell of scores, (levels, series, horizon)."""
        stretch, judged = (np.searchsorted(STRETCHES, days + 1) for days in (np.arange(self.horizon), self.day))
        block = np.broadcast_to(self.block, score.shape)

        def asked(use: Flags) -> Floats:
            return ask(Sample(score[use], self.weight[use], block[use]))

        counts = self.weight > 0.0
        everybody = asked(counts & (self.band != SILENT)[:, :, None])
        found = np.empty((len(everybody), len(self.band_now), self.horizon))
        for band in np.unique(self.band_now):
            here = counts & (self.band == band)[:, :, None]
            of_band = asked(here) if here.sum() >= CELL_DAYS else everybody
            for part in np.unique(stretch):
                cell = here & (judged == part)
                of_cell = asked(cell) if cell.sum() >= CELL_DAYS else of_band
                found[:, (self.band_now == band)[:, None] & (stretch == part)] = of_cell[:, None]
        return found
