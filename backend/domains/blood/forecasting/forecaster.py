"""The entry to forecasting: `fit` looks ahead from the end of a panel."""

from dataclasses import dataclass, replace

import numpy as np

from backend.domains.blood.forecasting.bank import LEAST_DAYS, Bank, Plan, Progress, fill
from backend.domains.blood.forecasting.booster import TRAINING_DAYS
from backend.domains.blood.forecasting.intervals import Calibration, calibrate
from backend.domains.blood.forecasting.panel import ONE_DAY, Days, Key, Panel
from backend.domains.blood.forecasting.selection import Bands, choose, combine
from backend.domains.blood.forecasting.totals import sample_paths, total_limits
from backend.domains.blood.forecasting.windows import YEAR
from backend.domains.blood.records import Flags, Floats, Ints
from backend.errors import InputError

HORIZON_MOST = 366
NO_HOLIDAYS: Days = np.array([], dtype="datetime64[D]")


def no_progress(fraction: float, note: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Point forecasts, calibration and paths of all series at one origin."""

    mean: Floats  # (series, horizon)
    calibration: Calibration
    members: list[tuple[str, ...]]  # of each band of volume, from low to high
    band: Ints  # (series,)
    points: Floats  # (past and now, series, horizon) of the same averages

    @classmethod
    def of(cls, bank: Bank, origin: int, *, whole: bool) -> "Outlook":
        """Choose, combine and calibrate with the days before `origin` only."""
        row = bank.row(origin)
        bands = Bands.at(bank.level[row])
        members = choose(bank, origin, bands)
        rows, _ = bank.past(origin)
        points = combine(bank, np.append(rows, row), bands, members)
        calibration = calibrate(bank, origin, bands, points[:-1], whole=whole)
        return cls(points[-1], calibration, members, bands.of(bank.level[row]), points)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecasts for the days after a panel's end; the limits are those of `intervals.COVERAGES`, 80 and 95 %."""

    days: Days  # (horizon,)
    keys: tuple[Key, ...]
    mean: Floats  # (series, horizon)
    lower: Floats  # (coverages, series, horizon), >= 0
    upper: Floats  # (coverages, series, horizon)
    methods: tuple[tuple[str, ...], ...]  # (series,) what each forecast is the plain average of
    paths: Floats  # (paths, series, horizon)

    def total(self, member: Flags) -> tuple[Floats, Floats, Floats]:
        """Return mean (horizon,), lower and upper (coverages, horizon) of the sum of the series `member` (series,)."""
        return self.mean[member].sum(axis=0), *total_limits(self.paths[:, member])


def fit(
    panel: Panel,
    *,
    horizon: int,
    calendar: Days = NO_HOLIDAYS,
    threads: int = 1,
    progress: Progress = no_progress,
) -> Forecast:
    """Forecast the `horizon` days after the panel; `calendar` holds the holidays the series may feel.

    Raises:
        InputError: the horizon is out of range or longer than the history supports.
    """
    need = days_needed(horizon)
    if len(panel.days) < need:
        raise InputError(f"a horizon of {horizon} days needs {need} days of history, not {len(panel.days)}")
    plan = Plan.of(np.array([len(panel.days)]), horizon=horizon, series=len(panel))
    panel, plan = trim(panel, plan)
    origin = len(panel.days)
    bank = fill(panel, plan, horizon, calendar=calendar, threads=threads, progress=progress)
    outlook = Outlook.of(bank, origin, whole=panel.whole)
    lower, upper = outlook.calibration.limits(outlook.mean)
    return Forecast(
        days=panel.days[-1] + ONE_DAY * np.arange(1, horizon + 1),
        keys=panel.keys,
        mean=outlook.mean,
        lower=lower,
        upper=upper,
        methods=tuple(outlook.members[band] for band in outlook.band),
        paths=sample_paths(bank, origin, outlook.calibration.reference, outlook.points),
    )


def days_needed(horizon: int) -> int:
    """Return how many days of history a forecast of `horizon` days needs: as many, and four weeks at least.

    Raises:
        InputError: the horizon is not between 1 and `HORIZON_MOST` days.
    """
    if not 1 <= horizon <= HORIZON_MOST:
        raise InputError(f"the horizon must be between 1 and {HORIZON_MOST} days, not {horizon:,}")
    return max(LEAST_DAYS, horizon)


def trim(panel: Panel, plan: Plan) -> tuple[Panel, Plan]:
    """Return both without the days so old that no origin learns from them."""
    first = max(0, int(plan.origins[0]) - TRAINING_DAYS - 2 * YEAR)
    return panel.since(first), replace(plan, origins=plan.origins - first)
