"""How good forecasts and their intervals are, averaged over series and origins."""

import numpy as np

from backend.domains.blood.forecasting.windows import ratio
from backend.domains.blood.records import Floats

QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


def scaled_error(actual: Floats, forecast: Floats, scale: Floats) -> Floats:
    """Return the mean absolute error over the horizon by in-sample seasonal naive error (..., series), m = 7.

    Takes (..., series, horizon) and the scale (..., series); NaN where the scale is 0 or unknown, or nothing was
    observed (Hyndman and Koehler 2006).
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(_mean_known(np.abs(actual - forecast)) / scale)


def scaled_pinball(actual: Floats, quantiles: Floats, scale: Floats) -> Floats:
    """Return the pinball loss over horizon and quantiles by the same scale (..., series).

    `quantiles` is (levels, ..., series, horizon) at the levels `QUANTILES`.
    """
    error = actual - quantiles
    level = np.reshape(QUANTILES, (-1, *(1,) * actual.ndim))
    return np.asarray(_mean_known(np.maximum(level * error, (level - 1.0) * error).mean(axis=0)) / scale)


def _mean_known(errors: Floats) -> Floats:
    known = ~np.isnan(errors)
    count = known.sum(axis=-1)
    total = np.where(known, errors, 0.0).sum(axis=-1)
    return ratio(total, count)
