"""One LightGBM for all series: what multiplies a smoothed level, learnt from every series' past at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from backend.domains.blood.forecasting.panel import Days, Panel
from backend.domains.blood.forecasting.windows import WEEK, YEAR, Window, ratio
from backend.domains.blood.records import Floats, Ints

if TYPE_CHECKING:
    import lightgbm

THREADS: Final = 1  # of one model; models of different origins are trained side by side
TREES: Final = 120
ROWS_MOST: Final = 100_000
HORIZONS_PER_ORIGIN: Final = 6
ROWS_LEAST: Final = 2_000  # with fewer the model repeats its base
TRAINING_DAYS: Final = 3 * YEAR
BASE_DAYS: Final = 42.0
SHRINK_UNITS: Final = 5.0  # of Poisson noise, that pull each ratio of levels to 1
NEAR_DAYS: Final = 3  # a holiday is felt so many days before and after
MONSOON_HALF_WIDTH: Final = 10  # days around the same day of last year

COLUMNS: Final = (
    "volume",
    "level_1w",
    "level_4w",
    "level_52w",
    "weekday_8w",
    "zero_share_8w",
    "last_year",
    "horizon",
    "weekday",
    "year_sin",
    "year_cos",
    "holiday_distance",
)


@dataclass(frozen=True, slots=True)
class AsOf:
    """What is known of every series at some origins."""

    origins: Ints  # (origins,)
    unit: Floats  # (origins, series) variance per unit of mean
    base: Floats  # (origins, series, 7) base forecast by phase
    levels: Floats  # (origins, series, 5) volume … level_52w, zero_share
    weekdays: Floats  # (origins, series, 7) weekday_8w by phase

    @classmethod
    def of(cls, values: Floats, origins: Ints) -> "AsOf":
        """Look at `values` (series, days) before each origin."""
        parts = [_look(Window.before(values, int(origin))) for origin in origins]
        unit, base, levels, weekdays = (np.stack(part) for part in zip(*parts, strict=True))
        return cls(origins, unit, base, levels, weekdays)


def _look(window: Window) -> tuple[Floats, Floats, Floats, Floats]:
    factors = window.weekday_factors()
    level = window.level(BASE_DAYS, factors)
    unit = window.dispersion()
    pull = SHRINK_UNITS * unit

    def against_level(days: int) -> Floats:
        return np.log((np.nan_to_num(window.mean(days)) * days + pull) / (level * days + pull))

    recent = window.values[:, -8:]
    zeros = ratio(((recent == 0.0) & window.known[:, -8:]).sum(axis=(1, 2)), window.known[:, -8:].sum(axis=(1, 2)))
    base = np.maximum(factors * level[:, None], 0.001 * unit[:, None])
    weekdays = np.log(
        (np.nan_to_num(window.weekday_mean(8)) * 8.0 + pull[:, None]) / (level[:, None] * factors * 8.0 + pull[:, None])
    )
    levels = [np.log(level / unit + 0.01), against_level(WEEK), against_level(4 * WEEK), against_level(YEAR), zeros]
    return unit, base, np.stack(levels, axis=1), weekdays


class GlobalBooster:
    """A Poisson LightGBM whose offset is the smoothed base forecast, so that it learns only what that misses.

    Values are divided by each series' noise unit (quasi-Poisson), so that neither scale nor one large series decides.
    Horizons are direct: every column is known at the origin, or is of the calendar.
    """

    def __init__(self, panel: Panel, horizon: int, *, calendar: Days) -> None:
        self._panel, self._horizon = panel, horizon
        self._rates = _last_year(panel.values)
        ahead = np.arange(panel.values.shape[1] + horizon)
        self._days = panel.days[0] + ahead
        year = 2.0 * np.pi * (self._days - self._days.astype("datetime64[Y]")).astype(float) / 365.25
        self._season = np.stack((np.sin(year), np.cos(year)))
        self._weekday = (self._days.astype("int64") + 3) % WEEK
        self._holiday = _distance(self._days, calendar)
        codes = [
            np.unique([key[part] for key in panel.keys], return_inverse=True)[1] for part in range(len(panel.names))
        ]
        self._codes = np.stack(codes).astype(float)
        self._series = len(panel)

    def forecasts(self, origins: Ints) -> Floats:
        """Return forecasts (origins, series, horizon) by one model, trained on the days before the first origin."""
        known = AsOf.of(self._panel.values, origins)
        shape = (len(origins), self._series, self._horizon)
        row, series, ahead = (part.ravel() for part in np.indices(shape))
        base = known.base[row, series, ahead % WEEK]
        booster = self._train(int(origins.min()))
        if booster is None:
            return np.asarray(base).reshape(shape)
        columns = self._columns(known, row, series, ahead)
        factor = np.asarray(booster.predict(columns, raw_score=True, num_threads=THREADS))
        # No series is expected to grow or shrink tenfold within the horizon.
        return np.asarray(base * np.exp(np.clip(factor, -2.3, 2.3))).reshape(shape)

    def _train(self, cutoff: int) -> "lightgbm.Booster | None":
        import lightgbm  # noqa: PLC0415 - only the process that trains pays for the import

        rng = np.random.default_rng(cutoff)
        per_origin = min(HORIZONS_PER_ORIGIN, self._horizon)
        first = max(4 * WEEK, cutoff - TRAINING_DAYS)
        count = min(cutoff - first, max(ROWS_MOST // (self._series * per_origin), 20))
        if count * self._series * per_origin < ROWS_LEAST:
            return None
        known = AsOf.of(self._panel.values, np.unique(np.linspace(first, cutoff - 1, count).astype(np.int64)))
        shape = (len(known.origins), self._series, per_origin)
        row, series, _ = (part.ravel() for part in np.indices(shape))
        ahead = rng.integers(self._horizon, size=len(row))
        day = known.origins[row] + ahead
        value = self._panel.values[series, np.minimum(day, self._panel.values.shape[1] - 1)]
        use = (day < cutoff) & ~np.isnan(value)
        row, series, ahead, value = row[use], series[use], ahead[use], value[use]
        if not value.any():
            return None
        unit = known.unit[row, series]
        settings = {
            "objective": "poisson",
            "learning_rate": 0.05,
            "num_leaves": 15,
            "min_data_in_leaf": max(50, len(value) // 400),
            "lambda_l2": 20.0,
            "feature_fraction": 0.7,
            "cat_smooth": 50.0,
            "max_cat_to_onehot": 1,
            "boost_from_average": False,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": THREADS,
            "seed": 1,
            "verbosity": -1,
        }
        rows = lightgbm.Dataset(
            self._columns(known, row, series, ahead),
            value / unit,
            init_score=np.log(known.base[row, series, ahead % WEEK] / unit),
            categorical_feature=[len(COLUMNS) + part for part in range(len(self._codes))],
            params=settings,
        )
        return lightgbm.train(settings, rows, num_boost_round=TREES)

    def _columns(self, known: AsOf, row: Ints, series: Ints, ahead: Ints) -> Floats:
        """Return one row of columns for each (origin row, series, days ahead)."""
        origin = known.origins[row]
        day = origin + ahead
        levels = known.levels[row, series]
        # As far back as a year, or more where the horizon is longer than one.
        year_ago = day - YEAR
        last_year = np.where(
            year_ago + MONSOON_HALF_WIDTH < origin,
            self._rates[series, np.clip(year_ago, 0, self._rates.shape[1] - 1)],
            np.nan,
        )
        before = self._rates[series, np.maximum(origin - YEAR - 2 * WEEK, 0)]
        enough = origin - YEAR - 4 * WEEK >= 0
        unit = known.unit[row, series] * SHRINK_UNITS / (2 * MONSOON_HALF_WIDTH + 1)
        return np.column_stack(
            (
                levels[:, :4],
                known.weekdays[row, series, ahead % WEEK],
                levels[:, 4],
                np.where(enough, np.log((last_year + unit) / (before + unit)), np.nan),
                ahead,
                self._weekday[day],
                self._season[0, day],
                self._season[1, day],
                self._holiday[day],
                self._codes[:, series].T,
            )
        )


def _last_year(values: Floats) -> Floats:
    """Return the mean (series, days) of the 21 days around each day, NaN where one of them is unknown."""
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    width = 2 * MONSOON_HALF_WIDTH + 1
    means = np.full(values.shape, np.nan)
    if values.shape[1] >= width:
        means[:, MONSOON_HALF_WIDTH : values.shape[1] - MONSOON_HALF_WIDTH] = (
            sums[:, width:] - sums[:, :-width]
        ) / width
    return means


def _distance(days: Days, calendar: Days) -> Floats:
    """Return days (n,) from the nearest holiday, negative before it, NaN further than `NEAR_DAYS`."""
    distance = np.full(len(days), np.nan)
    for holiday in np.sort(calendar.astype("datetime64[D]")):
        apart = (days - holiday).astype(float)
        nearer = (np.abs(apart) <= NEAR_DAYS) & ~(np.abs(distance) <= np.abs(apart))
        distance[nearer] = apart[nearer]
    return distance
