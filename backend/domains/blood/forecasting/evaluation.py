"""Backtests by rolling origin: every choice and interval is made with the days before the origin it is judged at."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from backend.domains.blood.forecasting.bank import Bank, Plan, Progress, fill, seasonal_scale
from backend.domains.blood.forecasting.baselines import BASELINES
from backend.domains.blood.forecasting.forecaster import (
    NO_HOLIDAYS,
    Outlook,
    days_needed,
    no_progress,
    trim,
)
from backend.domains.blood.forecasting.intervals import Calibration, calibrate
from backend.domains.blood.forecasting.metrics import scaled_error, scaled_pinball
from backend.domains.blood.forecasting.panel import Days, Panel
from backend.domains.blood.forecasting.selection import Bands
from backend.domains.blood.forecasting.totals import sample_paths, total_limits
from backend.domains.blood.forecasting.windows import ratio
from backend.domains.blood.records import Flags, Floats, Ints
from backend.errors import InputError

ORIGINS_MOST = 100
MODEL, TOTAL = "model", "total"


@dataclass(frozen=True, slots=True)
class Scores:
    """Accuracy and honesty of one method; NaN where nothing could be judged."""

    mase: float  # mean over series and origins; those whose in-sample seasonal naive error is 0 are left out
    wape: float  # sum of absolute errors by sum of values
    pinball: float  # mean over quantiles, scaled and averaged as `mase`
    coverage_80: float
    coverage_95: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a run of the forecaster would have been worth, beside what it has to beat."""

    model: Scores
    baselines: dict[str, Scores]
    total: Scores  # of the sum of all series, with intervals from sample paths; not scaled
    series: int
    undefined: int  # series that were never in the average of MASE
    origins: Days  # first days forecast
    horizon: int
    seconds: float


def backtest(
    panel: Panel,
    *,
    horizon: int,
    origins: int,
    calendar: Days = NO_HOLIDAYS,
    threads: int = 1,
    progress: Progress = no_progress,
) -> Backtest:
    """Forecast `horizon` days from each of `origins` past days and compare with what happened.

    The last origin's horizon ends with the panel. The others lie a horizon apart, or evenly closer where the history
    is too short for that.

    Raises:
        InputError: horizon or number of origins is out of range, or more than the history supports.
    """
    began = time.perf_counter()
    asked = test_origins(len(panel.days), horizon=horizon, origins=origins)
    scale = seasonal_scale(panel.values, asked)
    first_days = panel.days[asked]
    plan = Plan.of(asked, horizon=horizon, series=len(panel))
    before = len(panel.days)
    panel, plan = trim(panel, plan)
    asked = asked - (before - len(panel.days))

    def half(fraction: float, note: str) -> None:
        progress(0.5 * fraction, note)

    bank = fill(panel, plan, horizon, calendar=calendar, threads=threads, progress=half)
    tallies = {name: _Tally() for name in (MODEL, *BASELINES, TOTAL)}
    with ThreadPoolExecutor(threads) as pool:
        judged = pool.map(partial(_judge, bank, whole=panel.whole), asked.tolist(), scale)
        for place, verdicts in enumerate(judged):
            for name, verdict in verdicts.items():
                tallies[name].add(verdict)
            progress(0.5 + 0.5 * (place + 1) / len(asked), "judging")
    return Backtest(
        model=tallies[MODEL].scores(),
        baselines={name: tallies[name].scores() for name in BASELINES},
        total=tallies[TOTAL].scores(),
        series=len(panel),
        undefined=int(np.isnan(scale).all(axis=0).sum()),
        origins=first_days,
        horizon=horizon,
        seconds=time.perf_counter() - began,
    )


def test_origins(days: int, *, horizon: int, origins: int) -> Ints:
    """Return the origins (origins,) of a backtest on `days` days.

    Raises:
        InputError: horizon or number of origins is out of range, or more than the history supports.
    """
    need = require_in_range(horizon=horizon, origins=origins)
    last = days - horizon
    if last - (origins - 1) < need:
        raise InputError(
            f"{origins} origins with a horizon of {horizon} days need a history of "
            f"{need + horizon + origins - 1} days, not {days}: shorten the horizon or ask for fewer origins"
        )
    step = min(horizon, (last - need) // max(origins - 1, 1))
    return last - step * np.arange(origins - 1, -1, -1)


def require_in_range(*, horizon: int, origins: int) -> int:
    """Return how many days of history the first origin needs.

    Raises:
        InputError: horizon or number of origins is out of range, whatever the history.
    """
    if not 1 <= origins <= ORIGINS_MOST:
        raise InputError(f"the number of origins must be between 1 and {ORIGINS_MOST}, not {origins:,}")
    return days_needed(horizon)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one method's forecast at one origin was worth."""

    error: float  # sum of absolute errors
    value: float  # sum of values
    inside: Floats  # (coverages,) days within the limits
    days: int
    scaled_error: Floats  # (series,), empty where not scaled
    scaled_pinball: Floats

    @classmethod
    def of(cls, actual: Floats, mean: Floats, inside: Flags, *, scaled: tuple[Floats, Floats]) -> "_Verdict":
        """Compare `actual` and `mean` (..., horizon) and count `inside` (coverages, ..., horizon) on known days."""
        known = ~np.isnan(actual)
        error = float(np.abs(actual - mean)[known].sum())
        return cls(error, float(actual[known].sum()), inside[:, known].sum(axis=1), int(known.sum()), *scaled)


class _Tally:
    """Verdicts of all origins."""

    def __init__(self) -> None:
        self._verdicts: list[_Verdict] = []

    def add(self, verdict: _Verdict) -> None:
        """Add one origin."""
        self._verdicts.append(verdict)

    def scores(self) -> Scores:
        """Return the averages."""
        verdicts = self._verdicts
        inside = np.sum([v.inside for v in verdicts], axis=0)
        days, value = np.array(sum(v.days for v in verdicts)), np.array(sum(v.value for v in verdicts))
        coverage = ratio(inside, days)
        return Scores(
            mase=_mean([v.scaled_error for v in verdicts]),
            wape=float(ratio(np.array(sum(v.error for v in verdicts)), value)),
            pinball=_mean([v.scaled_pinball for v in verdicts]),
            coverage_80=float(coverage[0]),
            coverage_95=float(coverage[1]),
        )


def _mean(parts: list[Floats]) -> float:
    values = np.concatenate(parts)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _judge(bank: Bank, origin: int, scale: Floats, *, whole: bool) -> dict[str, _Verdict]:
    """Return what model, baselines and the sum of all series were worth at `origin`; `scale` is (series,)."""
    row = bank.row(origin)
    bands = Bands.at(bank.level[row])
    rows, _ = bank.past(origin)
    outlook = Outlook.of(bank, origin, whole=whole)
    said: dict[str, tuple[Floats, Calibration]] = {MODEL: (outlook.mean, outlook.calibration)}
    for name in BASELINES:
        points = bank.forecasts[name][np.append(rows, row)]
        said[name] = points[-1], calibrate(bank, origin, bands, points[:-1], whole=whole)
    actual = bank.actual[row]
    verdicts = {}
    for name, (mean, calibration) in said.items():
        inside = calibration.covered(np.nan_to_num(actual), mean)
        scaled = scaled_error(actual, mean, scale), scaled_pinball(actual, calibration.quantiles(mean), scale)
        verdicts[name] = _Verdict.of(actual, mean, inside, scaled=scaled)
    summed = np.nansum(actual, axis=0)
    lower, upper = total_limits(sample_paths(bank, origin, outlook.calibration.reference, outlook.points))
    inside = (lower <= summed) & (summed <= upper)
    verdicts[TOTAL] = _Verdict.of(summed, outlook.mean.sum(axis=0), inside, scaled=(np.empty(0), np.empty(0)))
    return verdicts
