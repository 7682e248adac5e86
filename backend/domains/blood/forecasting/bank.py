"""What every candidate would have said at many past origins, each knowing only the days before it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from backend.domains.blood.forecasting.baselines import BASELINES
from backend.domains.blood.forecasting.booster import GlobalBooster
from backend.domains.blood.forecasting.panel import Days, Panel
from backend.domains.blood.forecasting.smoothing import LEVEL_DAYS, ets_forecasts, smoothed_level, tsb_forecasts
from backend.domains.blood.forecasting.windows import WEEK, Window, ratio
from backend.domains.blood.records import Floats, Ints

Progress = Callable[[float, str], None]

CANDIDATES = ("weekday_mean_8w", "weekday_level_28d", *LEVEL_DAYS, "ets", "tsb", "lightgbm")
REFIT_DAYS = 90  # LightGBM is trained so often while it forecasts from past origins
LEAST_DAYS = 4 * WEEK  # of history before the first origin
PAST_ORIGINS = 40  # rolling origins before an origin from which its forecast is chosen and calibrated
CELLS_MOST = 2_000_000  # series x horizon x origins held for each candidate
JUDGED_MOST = 150_000  # of the cells of one origin's past: with more, only every second, third … day of the horizon


@dataclass(frozen=True, slots=True)
class Bank:
    """Forecasts of every method at rolling origins, beside what happened."""

    origins: Ints  # (origins,) ascending
    forecasts: dict[str, Floats]  # each (origins, series, horizon)
    actual: Floats  # (origins, series, horizon), NaN where not known or not begun
    level: Floats  # (origins, series) mean of the last 8 weeks
    scale: Floats  # (origins, series) mean absolute difference of a week before the origin; NaN where 0 or unknown
    reach: int  # days before an origin that its choice and calibration look back
    judged: Ints  # days of the horizon that choice and calibration look at

    def row(self, origin: int) -> int:
        """Return the place of an origin."""
        return int(np.searchsorted(self.origins, origin))

    def past(self, origin: int) -> tuple[Ints, Floats]:
        """Return earlier origins' rows (past,) and what became of their judged days (past, series, judged).

        NaN where a day does not lie before `origin`, or the series had not begun.
        """
        rows = np.flatnonzero((self.origins < origin) & (self.origins >= origin - self.reach))
        day = self.origins[rows][:, None, None] + self.judged
        return rows, np.where(day < origin, self.actual[rows][:, :, self.judged], np.nan)


@dataclass(frozen=True, slots=True)
class Plan:
    """From which origins to forecast so that some of them can be judged, each by the past before it."""

    origins: Ints  # ascending
    reach: int
    judged: Ints

    @classmethod
    def of(cls, asked: Ints, *, horizon: int, series: int) -> "Plan":
        """Return the plan for the origins `asked` (n,), ascending."""
        span = int(asked[-1] - asked[0])
        step = max(5, horizon // 3)
        most = max(CELLS_MOST // (series * horizon), 2 * len(asked))
        step = max(step, -(-(PAST_ORIGINS * step + span) // most))
        # Not a multiple of a week, so that every horizon meets every weekday.
        step += step % WEEK == 0
        reach = PAST_ORIGINS * step
        between = np.arange(int(asked[-1]) - step, max(int(asked[0]) - reach, LEAST_DAYS) - 1, -step)
        stride = -(-PAST_ORIGINS * series * horizon // JUDGED_MOST)
        stride += stride % WEEK == 0
        return cls(np.union1d(between, asked), reach, np.arange(0, horizon, stride))


def fill(panel: Panel, plan: Plan, horizon: int, *, calendar: Days, threads: int, progress: Progress) -> Bank:
    """Forecast `horizon` days from each origin with every candidate and baseline.

    LightGBM is trained again every `REFIT_DAYS` days; the others learn from every day.
    """
    values, origins = panel.values, plan.origins
    shape = (len(origins), len(panel), horizon)
    windowed: dict[str, Callable[[Window, int], Floats]] = {
        **BASELINES,
        **{name: partial(smoothed_level, days=days) for name, days in LEVEL_DAYS.items()},
    }
    forecasts = {name: np.empty(shape) for name in windowed}
    level = np.empty(shape[:2])
    for row, origin in enumerate(origins):
        window = Window.before(values, int(origin))
        level[row] = np.nan_to_num(window.mean(8 * WEEK))
        for name, method in windowed.items():
            forecasts[name][row] = method(window, horizon)
    progress(0.15, "smoothing")
    forecasts["ets"] = ets_forecasts(values, origins, horizon)
    forecasts["tsb"] = tsb_forecasts(values, origins, horizon)
    progress(0.3, "LightGBM")
    booster = GlobalBooster(panel, horizon, calendar=calendar)
    groups = np.split(origins, _group_starts(origins))
    parts = []
    with ThreadPoolExecutor(threads) as pool:
        for part in pool.map(booster.forecasts, groups):
            parts.append(part)
            progress(0.3 + 0.7 * len(parts) / len(groups), "LightGBM")
    forecasts["lightgbm"] = np.concatenate(parts)
    return Bank(
        origins,
        forecasts,
        actual=_actual(values, origins, horizon),
        level=level,
        scale=seasonal_scale(values, origins),
        reach=plan.reach,
        judged=plan.judged,
    )


def seasonal_scale(values: Floats, origins: Ints) -> Floats:
    """Return the in-sample mean absolute seasonal naive error, m = 7, at each origin (origins, series).

    NaN where it is 0 or unknown: MASE is undefined there, and the series is left out at that origin.
    """
    apart = np.abs(values[:, WEEK:] - values[:, :-WEEK])
    total = np.pad(np.cumsum(np.nan_to_num(apart), axis=1), ((0, 0), (WEEK + 1, 0)))
    count = np.pad(np.cumsum(~np.isnan(apart), axis=1), ((0, 0), (WEEK + 1, 0)))
    mean = ratio(total[:, origins].T, count[:, origins].T)
    return np.where(mean > 0.0, mean, np.nan)


def _group_starts(origins: Ints) -> list[int]:
    """Return where LightGBM is trained again, counted from the last origin."""
    age = (origins[-1] - origins - 1) // REFIT_DAYS
    return [place for place in range(1, len(origins)) if age[place] != age[place - 1]]


def _actual(values: Floats, origins: Ints, horizon: int) -> Floats:
    padded = np.pad(values, ((0, 0), (0, horizon)), constant_values=np.nan)
    return np.stack([padded[:, origin : origin + horizon] for origin in origins])
