"""Calendar days of one time zone, as columns: which day a moment falls on, when a day or a birthday begins.

A *day* is its position in the calendar, counted from `FIRST`; moments are float64 seconds since 1970-01-01 UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from backend.domains.blood.records import Floats, Ints

FIRST: Final = date(1900, 1, 1)
LAST: Final = date(2150, 1, 1)
SECONDS_PER_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class LocalDays:
    """The days of a time zone, each with the moment it begins; moments outside them count as the first or last day."""

    time_zone: str
    midnights: Floats

    def day_of(self, at: Floats) -> Ints:
        """Return the day each moment (n,) falls on; every moment is a number."""
        last = len(self.midnights) - 1
        day: Ints = np.clip((at - self.midnights[0]) / SECONDS_PER_DAY, 2, last - 2).astype(np.int64)
        for _ in range(2):  # the guess is one day off at most, two where a country has moved across the date line
            day -= self.midnights[day] > at
            day += self.midnights[np.minimum(day + 1, last)] <= at
        return day

    def begins(self, day: Ints) -> Floats:
        """Return when each day (n,) begins."""
        begins: Floats = self.midnights[np.minimum(day, len(self.midnights) - 1)]
        return begins

    def birthday_begins(self, born: Ints, years: int) -> Floats:
        """Return when those born on each day (n,) turn `years`, inf if after `LAST`; 29 February waits for 1 March."""
        begins: Floats = _birthdays(self.time_zone, years)[born]
        return begins


@lru_cache(maxsize=8)
def local_days(time_zone: str) -> LocalDays:
    """Return the days of the IANA `time_zone`; about 0.1 s the first time.

    Raises:
        ZoneInfoNotFoundError: no such time zone.
    """
    zone = ZoneInfo(time_zone)
    days = (date.fromordinal(ordinal) for ordinal in range(FIRST.toordinal(), LAST.toordinal() + 1))
    midnights = np.array([datetime.combine(day, time.min, zone).timestamp() for day in days])
    midnights.flags.writeable = False
    return LocalDays(time_zone=time_zone, midnights=midnights)


@lru_cache(maxsize=64)
def _birthdays(time_zone: str, years: int) -> Floats:
    """Return for each day of the calendar when those born on it turn `years`."""
    days = local_days(time_zone)
    dates = np.datetime64(FIRST, "D") + np.arange(len(days.midnights))
    month = dates.astype("datetime64[M]")
    birthday = (month + 12 * years).astype("datetime64[D]") + (dates - month)
    day = (birthday - dates[0]).astype(np.int64)
    begins: Floats = np.where(day < len(days.midnights), days.begins(day), np.inf)
    begins.flags.writeable = False
    return begins
