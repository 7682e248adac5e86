"""Exponential smoothing of all series at once: a family of ETS models chosen by AICc, TSB, and plain levels.

Every recursion reads a day's value before it updates, so the state at an origin knows nothing of that day.
"""

from itertools import product

import numpy as np

from backend.domains.blood.forecasting.windows import WEEK, Window, along, ratio
from backend.domains.blood.records import Floats, Ints

LEVEL_DAYS = {"level_2w": 14.0, "level_6w": 42.0, "level_20w": 140.0}

ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.4)  # level
GAMMAS = (None, 0.02)  # weekday season; None: the model has none
TRENDS = ((0.0, 0.0), (0.1, 0.98), (0.1, 0.9))  # beta as a share of alpha, damping; (0, 0): the model has none
ETS_GRID = tuple(product(ALPHAS, GAMMAS, TRENDS))
WARM_UP = 2 * WEEK  # days after a series' first that do not count in the choice

TSB_GRID = tuple(product((0.02, 0.05, 0.1), (0.02, 0.1)))  # for the chance of a demand, for its size


def smoothed_level(window: Window, horizon: int, *, days: float) -> Floats:
    """Return an exponentially weighted level x the weekday's shrunken factor (series, horizon)."""
    factors = window.weekday_factors()
    return along(factors * window.level(days, factors)[:, None], horizon)


def ets_forecasts(values: Floats, origins: Ints, horizon: int) -> Floats:
    """Return ETS forecasts (origins, series, horizon) with additive errors, each series' model chosen by AICc.

    The family is (A,N,N), (A,N,A) with a season of 7, (A,Ad,N) and (A,Ad,A) on a grid of parameters (Hyndman and
    Athanasopoulos, Forecasting: Principles and Practice, 8.6). Gains start as those of a running mean.
    """
    alpha = np.array([a for a, _, _ in ETS_GRID])[:, None]
    seasonal = np.array([g is not None for _, g, _ in ETS_GRID])[:, None]
    gamma = np.array([g or 0.0 for _, g, _ in ETS_GRID])[:, None]
    beta = np.array([share * a for a, _, (share, _) in ETS_GRID])[:, None]
    phi = np.array([damping for _, _, (_, damping) in ETS_GRID])[:, None]
    parameters = 2.0 + 8.0 * seasonal + 3.0 * (phi > 0.0)
    models, count = len(ETS_GRID), len(values)
    level, trend, squares = (np.zeros((models, count)) for _ in range(3))
    season = np.zeros((models, count, WEEK))
    seen = np.zeros(count)
    steps = np.cumsum(phi ** np.arange(1, horizon + 1), axis=1)  # (models, horizon)
    forecasts = np.zeros((len(origins), count, horizon))
    place = {int(origin): row for row, origin in enumerate(origins)}
    for day in range(int(origins.max()) + 1):
        if day in place:
            best = _smallest_aicc(squares, np.maximum(seen - WARM_UP, 0.0), parameters)
            pick = (best, np.arange(count))
            ahead = season[pick][:, (day + np.arange(horizon)) % WEEK]
            forecasts[place[day]] = level[pick][:, None] + steps[best] * trend[pick][:, None] + ahead
        if day == values.shape[1]:
            break
        known = ~np.isnan(values[:, day])
        expected = level + phi * trend + season[:, :, day % WEEK]
        error = np.where(known, np.nan_to_num(values[:, day]) - expected, 0.0)
        squares += np.where(seen >= WARM_UP, np.square(error), 0.0)
        gain = np.maximum(alpha, 1.0 / (seen + 1.0))
        level = np.where(known, level + phi * trend + gain * error, level)
        # The trend learns only once the level has settled, else the first days set it.
        trend = phi * trend + np.where(seen >= WARM_UP, beta, 0.0) * error
        settling = np.where(seen >= WEEK, 1.0 / (seen // WEEK + 2.0), 0.0)
        season[:, :, day % WEEK] += seasonal * np.maximum(gamma * (seen >= WEEK), settling) * error
        seen = seen + known
    return np.maximum(forecasts, 0.0)


def _smallest_aicc(squares: Floats, days: Floats, parameters: Floats) -> Ints:
    """Return each series' model (series,) by corrected AIC from squared one-step errors (models, series)."""
    spare = np.maximum(days - parameters - 1.0, 1.0)
    correction = 2.0 * parameters + 2.0 * parameters * (parameters + 1.0) / spare
    fit = days * np.log(np.maximum(ratio(squares, days, otherwise=0.0), 1e-12))
    return np.asarray(np.argmin(fit + correction, axis=0))


def tsb_forecasts(values: Floats, origins: Ints, horizon: int) -> Floats:
    """Return flat forecasts (origins, series, horizon) of chance x size of a demand (Teunter, Syntetos, Babai 2011).

    The two smoothing constants are chosen for each series by squared one-step error.
    """
    for_chance = np.array([a for a, _ in TSB_GRID])[:, None]
    for_size = np.array([b for _, b in TSB_GRID])[:, None]
    chance, size, squares = (np.zeros((len(TSB_GRID), len(values))) for _ in range(3))
    seen, demands = np.zeros(len(values)), np.zeros(len(values))
    forecasts = np.zeros((len(origins), len(values), horizon))
    place = {int(origin): row for row, origin in enumerate(origins)}
    for day in range(int(origins.max()) + 1):
        if day in place:
            pick = (np.argmin(squares, axis=0), np.arange(len(values)))
            forecasts[place[day]] = (chance[pick] * size[pick])[:, None]
        if day == values.shape[1]:
            break
        known, value = ~np.isnan(values[:, day]), np.nan_to_num(values[:, day])
        demand = value > 0.0
        squares += np.where(known & (seen >= WARM_UP), np.square(value - chance * size), 0.0)
        chance += np.where(known, np.maximum(for_chance, 1.0 / (seen + 1.0)) * (demand - chance), 0.0)
        size += np.where(demand, np.maximum(for_size, 1.0 / (demands + 1.0)) * (value - size), 0.0)
        seen, demands = seen + known, demands + demand
    return forecasts
