"""When a stock is worth an alert, and when the alert may be closed: limits as data, with hysteresis against flapping.

The limits are our choice. NHS Blood and Transplant aims at 6 days of red cells, calls amber when about two are left,
and aims at no less than one day of platelets (hospital.blood.co.uk, blood stocks; amber alert of October 2022). A
district is smaller than a country, and its next delivery nearer; plasma is frozen and takes long to replace.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np

from backend.domains.blood.records import Floats
from backend.domains.blood.stock import Demand, days_of_cover, unused

AlertKind = Literal["shortage", "expiry"]
Level = Literal["warning", "critical"]


class Limits(NamedTuple):
    """Days below which a level begins."""

    warning: float
    critical: float


COVER_LIMITS: Final = {
    "red_cells": Limits(5.0, 2.0),
    "plasma": Limits(10.0, 4.0),
    "platelets": Limits(1.5, 0.75),
}
"""Days of cover, by component."""

EXPIRY_LIMITS: Final = {
    "red_cells": Limits(7.0, 2.0),
    "plasma": Limits(7.0, 2.0),
    "platelets": Limits(1.0, 0.5),
    "whole_blood": Limits(7.0, 2.0),
    "cryoprecipitate": Limits(7.0, 2.0),
}
"""Days until units expire that will not be used, by component."""

OPENS: Final = 0.5  # units expected to be asked for, or to expire unused; rounds to one
HOLDS: Final = 0.25  # units: an open alert stays until it is about fewer
LONGER: Final = 1.25  # an open shortage stays until cover is so much longer than its limit


class AlertKey(NamedTuple):
    """What an alert is about; there is one open alert at most for each. `bank_id` None: the whole district."""

    kind: AlertKind
    district: str
    bank_id: int | None
    blood_group: str
    component: str


class Finding(NamedTuple):
    """What is to be said about one key."""

    level: Level
    units: int  # usable, or about to expire unused
    days_of_cover: float | None


def can_judge_shortage(demand: Demand, component: str) -> bool:
    """Return whether the forecast reaches as far as the limits do; if not, an open alert stays as it is."""
    return demand.horizon >= LONGER * COVER_LIMITS[component].warning


def shortage_level(demand: Demand, expires_in: Floats, component: str, *, before: Level | None) -> Level | None:
    """Return the level of a shortage, given that of the open alert if there is one.

    Cover below the limit is not enough: a group of which a unit is asked for once a year is short all the time. Half a
    unit at least must be expected to be asked for within the days of the limit.
    """
    cover = days_of_cover(demand, expires_in)

    def short(days: float, *, held: bool) -> bool:
        within = days * (LONGER if held else 1.0)
        asked_for = float(demand.until(np.array([within]))[0])
        return cover.days < within and asked_for >= (HOLDS if held else OPENS)

    return _worst(COVER_LIMITS[component], short, before)


def unused_units(demand: Demand | None, expires_in: Floats) -> Floats:
    """Return which part of each unit (n,) of a district's pool will expire unused.

    Of what there is no forecast for, all: nothing says that it will be used. So it is with what expires after the
    forecast's end, which lies beyond `EXPIRY_LIMITS` unless no new forecast is made.
    """
    return np.ones(len(expires_in)) if demand is None else unused(demand, expires_in)


def expiry_level(
    wasted: Floats, expires_in: Floats, component: str, *, forecast: bool, before: Level | None
) -> Level | None:
    """Return the level of an expiry, given the parts (n,) of a bank's units that expire unused.

    Without a forecast nobody knows whether they will be used, and it stays a warning.
    """
    limits = EXPIRY_LIMITS[component]

    def wasteful(days: float, *, held: bool) -> bool:
        return float(wasted[expires_in <= days].sum()) >= (HOLDS if held else OPENS)

    level = _worst(limits, wasteful, before)
    return level if forecast or level is None else "warning"


def expiring_units(wasted: Floats, expires_in: Floats, component: str) -> int:
    """Return how many units, one at least, an expiry alert is about."""
    return max(1, round(float(wasted[expires_in <= EXPIRY_LIMITS[component].warning].sum())))


def _worst(limits: Limits, found: Callable[..., bool], before: Level | None) -> Level | None:
    """Return the worst level that is found; one that is open already, or below it, is held and ends later."""
    if found(limits.critical, held=before == "critical"):
        return "critical"
    if found(limits.warning, held=before is not None):
        return "warning"
    return None
