"""Demand of the blood service as daily series, one for each district and blood group, and their sums."""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from backend.domains.blood.forecasting.forecaster import Forecast
from backend.domains.blood.forecasting.panel import ONE_DAY, Days, Panel
from backend.domains.blood.forecasting.prior import (
    FORECAST_GROUPS,
    Rates,
    expected_units,
    forecast_from_rates,
    replace_cold,
    update,
)
from backend.domains.blood.geography import DISTRICTS
from backend.domains.blood.local_days import FIRST, LocalDays
from backend.domains.blood.records import Floats, Ints

ALL: Final = "all"  # in place of a district or a blood group: the sum over them
DISTRICT_NAMES: Final = tuple(district.name for district in DISTRICTS)
GROUP_NAMES: Final = FORECAST_GROUPS
CELLS, EXPECTED = expected_units()
COLD_DAYS: Final = 5  # a cell with fewer days of requests than this has no pattern to find


class Requested(NamedTuple):
    """Units requested, equally long columns (n,)."""

    at: Floats
    cell: Ints  # position in CELLS
    units: Floats


class CellOutlook(NamedTuple):
    """What is expected of one cell or sum of cells: mean (horizon,), limits (coverages, horizon) at 80 and 95 %."""

    district: str
    blood_group: str
    mean: Floats
    lower: Floats
    upper: Floats
    model: str


def daily_panel(requested: Requested, *, days: LocalDays, today: int) -> Panel | None:
    """Return the units of every cell on each day from the first request to yesterday, None without such a day.

    A day without a request is a 0: the service was there and nothing was asked of it.
    """
    day = days.day_of(requested.at)
    before = day < today
    if not before.any():
        return None
    first = int(day.min())
    values = np.zeros((len(CELLS), today - first))
    np.add.at(values, (requested.cell[before], day[before] - first), requested.units[before])
    start = np.datetime64(FIRST, "D") + first
    days_known = start + ONE_DAY * np.arange(values.shape[1])
    return Panel.of(days=days_known, names=("district", "blood_group"), keys=CELLS, values=values)


def cold_forecast(panel: Panel | None, *, first_day: np.datetime64, horizon: int) -> Forecast:
    """Return what population and group shares make of all cells, updated by the little that was requested."""
    return forecast_from_rates(CELLS, _rates(panel), first_day=first_day, horizon=horizon)


def with_cold_cells(forecast: Forecast, panel: Panel) -> Forecast:
    """Return the forecast with the cells in which hardly anything was requested taken from their rates."""
    cold = (panel.values > 0.0).sum(axis=1) < COLD_DAYS
    if not cold.any():
        return forecast
    return replace_cold(forecast, cold, cold_forecast(panel, first_day=forecast.days[0], horizon=len(forecast.days)))


def _rates(panel: Panel | None) -> Rates:
    district = np.array([DISTRICT_NAMES.index(name) for name, _ in CELLS])
    nothing = np.zeros(len(CELLS))
    if panel is None:
        return update(EXPECTED, district=district, units=nothing, days=nothing)
    return update(EXPECTED, district=district, units=panel.values.sum(axis=1), days=nothing + len(panel.days))


def outlooks(forecast: Forecast) -> Iterator[CellOutlook]:
    """Give every cell, then the sums by blood group, by district and of all: means add up, limits come from paths."""
    for i, (district, group) in enumerate(forecast.keys):
        model = " + ".join(forecast.methods[i])
        yield CellOutlook(district, group, forecast.mean[i], forecast.lower[:, i], forecast.upper[:, i], model)
    districts, groups = (np.array(part) for part in zip(*forecast.keys, strict=True))
    everything = np.ones(len(forecast.keys), dtype=bool)
    for group in GROUP_NAMES:
        yield CellOutlook(ALL, group, *forecast.total(groups == group), "sum")
    for district in DISTRICT_NAMES:
        yield CellOutlook(district, ALL, *forecast.total(districts == district), "sum")
    yield CellOutlook(ALL, ALL, *forecast.total(everything), "sum")


@cache
def kerala_holidays(first_year: int, last_year: int) -> Days:
    """Return Kerala's public holidays of the years, as the library `holidays` knows them."""
    import holidays  # noqa: PLC0415 - only the process that forecasts pays for the import

    found = holidays.country_holidays("IN", subdiv="KL", years=range(first_year, last_year + 1))
    return np.array(sorted(found), dtype="datetime64[D]")
