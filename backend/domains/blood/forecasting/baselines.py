"""What a forecast has to beat: the last week, the weekday's mean, the weekday's share of the recent level."""

import numpy as np

from backend.domains.blood.forecasting.windows import YEAR, YEAR_WEEKS, Window, along
from backend.domains.blood.records import Floats


def seasonal_naive(window: Window, horizon: int) -> Floats:
    """Return the last known week again and again (series, horizon)."""
    return _known(along(window.weekday_mean(1), horizon), window)


def weekday_mean_8w(window: Window, horizon: int) -> Floats:
    """Return the mean of the same weekday over the last 8 weeks (series, horizon)."""
    return _known(along(window.weekday_mean(8), horizon), window)


def weekday_level_28d(window: Window, horizon: int) -> Floats:
    """Return the mean of the last 28 days x the weekday's share of the last 52 weeks (series, horizon)."""
    by_weekday = _known(window.weekday_mean(YEAR_WEEKS), window)
    factors = by_weekday / np.maximum(by_weekday.mean(axis=1, keepdims=True), np.finfo(float).tiny)
    return along(factors * np.nan_to_num(window.mean(28))[:, None], horizon)


BASELINES = {
    "seasonal_naive": seasonal_naive,
    "weekday_mean_8w": weekday_mean_8w,
    "weekday_level_28d": weekday_level_28d,
}


def _known(forecast: Floats, window: Window) -> Floats:
    # A weekday not seen yet gets the mean of all days, a series without any day 0.
    return np.where(np.isnan(forecast), np.nan_to_num(window.mean(YEAR))[:, None], forecast)
