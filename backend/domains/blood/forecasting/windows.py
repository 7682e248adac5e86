"""What a forecaster may look at: the weeks before an origin, laid out by weekday.

An *origin* is the position of the first day to forecast: values before it are known, that day and later ones are not.
A *phase* is a day's place in the week counted from the origin, so horizon h (0 the first day) has phase h % 7.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from backend.domains.blood.records import Flags, Floats, Ints

WEEK = 7
YEAR_WEEKS = 52
YEAR = YEAR_WEEKS * WEEK  # 364 days: a year that keeps the weekday

# A weekday's own record weighs against the shape all series share as so many units of Poisson noise.
WEEKDAY_PRIOR_UNITS = 30.0


@dataclass(frozen=True, slots=True)
class Window:
    """The 52 weeks before an origin."""

    values: Floats  # (series, 52, 7), 0 where unknown
    known: Flags  # (series, 52, 7)

    @classmethod
    def before(cls, values: Floats, origin: int) -> Self:
        """Return the window of `values` (series, days) that ends before `origin`."""
        recent = values[:, max(0, origin - YEAR) : origin]
        padded = np.full((len(values), YEAR), np.nan)
        padded[:, YEAR - recent.shape[1] :] = recent
        cube = padded.reshape(len(values), YEAR_WEEKS, WEEK)
        return cls(np.nan_to_num(cube), ~np.isnan(cube))

    def mean(self, days: int) -> Floats:
        """Return the mean (series,) of the last `days` days, NaN without any."""
        values = self.values.reshape(len(self.values), YEAR)[:, YEAR - days :]
        known = self.known.reshape(len(self.known), YEAR)[:, YEAR - days :]
        return ratio(values.sum(axis=1), known.sum(axis=1))

    def weekday_mean(self, weeks: int) -> Floats:
        """Return the mean (series, 7) of each phase over the last `weeks` weeks, NaN without any."""
        return ratio(self.values[:, -weeks:].sum(axis=1), self.known[:, -weeks:].sum(axis=1))

    def dispersion(self) -> Floats:
        """Return the variance of a day per unit of mean (series,), from differences of a week; 1 for Poisson counts."""
        flat, known = self.values.reshape(len(self.values), YEAR), self.known.reshape(len(self.known), YEAR)
        both = known[:, WEEK:] & known[:, :-WEEK]
        squares = np.where(both, np.square(flat[:, WEEK:] - flat[:, :-WEEK]), 0.0)
        variance = ratio(squares.sum(axis=1), 2.0 * both.sum(axis=1))
        return np.where(variance > 0.0, ratio(variance, self.mean(YEAR)), 1.0)

    def weekday_factors(self) -> Floats:
        """Return each phase's factor on the level (series, 7), own record shrunk to the shape all series share."""
        sums, days = self.values.sum(axis=1), self.known.sum(axis=1)
        level = np.nan_to_num(self.mean(YEAR))[:, None]
        unit = self.dispersion()[:, None]
        # In units of noise, so that one large series does not speak for all; the shared shape is itself pulled to none.
        units = WEEKDAY_PRIOR_UNITS
        shared = ((sums / unit).sum(axis=0) + units) / ((level * days / unit).sum(axis=0) + units)
        return np.asarray((sums + units * unit * shared) / (level * days + units * unit))

    def level(self, days: float, factors: Floats) -> Floats:
        """Return the level (series,) free of weekdays, weights falling by e every `days` days; 0 without any record."""
        age = np.arange(YEAR, 0, -1).reshape(YEAR_WEEKS, WEEK) - 1.0
        weight = np.exp(-age / days)
        total = (self.values * weight).sum(axis=(1, 2))
        expected = ((self.known * weight).sum(axis=1) * factors).sum(axis=1)
        return ratio(total, expected, otherwise=0.0)


def ratio(numerator: Floats | Ints, denominator: Floats | Ints, *, otherwise: float = np.nan) -> Floats:
    """Return numerator / denominator elementwise, `otherwise` where the denominator is not above 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    found = np.full(shape, otherwise)
    np.divide(numerator, denominator, out=found, where=np.asarray(denominator) > 0)
    return found


def along(phases: Floats, horizon: int) -> Floats:
    """Return values by phase (series, 7) for each day of the horizon (series, horizon)."""
    return np.asarray(phases[:, np.arange(horizon) % WEEK])
