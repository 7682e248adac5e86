from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.local_days import FIRST, LAST, local_days

ZONES = ["Asia/Kolkata", "Europe/London", "America/New_York", "Pacific/Apia"]
zones = st.sampled_from(ZONES)


@given(zone=zones, at=st.floats(-2_000_000_000.0, 5_000_000_000.0))
def test_a_moment_falls_on_its_local_date(zone: str, at: float) -> None:
    day = int(local_days(zone).day_of(np.array([at]))[0])
    assert FIRST + timedelta(days=day) == datetime.fromtimestamp(at, ZoneInfo(zone)).date()


@given(zone=zones, day=st.dates(FIRST, LAST))
def test_a_day_begins_at_local_midnight(zone: str, day: date) -> None:
    begins = local_days(zone).begins(np.array([(day - FIRST).days]))[0]
    assert begins == datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()


@given(born=st.dates(FIRST, date(2060, 12, 31)), years=st.integers(0, 80))
def test_a_birthday_is_the_same_date_and_29_february_waits_for_march(born: date, years: int) -> None:
    days = local_days("Asia/Kolkata")
    begins = days.birthday_begins(np.array([(born - FIRST).days]), years)
    birthday = FIRST + timedelta(days=int(days.day_of(begins)[0]))
    leap_day_without_one = (born.month, born.day) == (2, 29) and (birthday.month, birthday.day) == (3, 1)
    assert birthday.year == born.year + years
    assert leap_day_without_one or (birthday.month, birthday.day) == (born.month, born.day)


def test_a_birthday_after_the_calendar_never_comes() -> None:
    born = (date(2149, 6, 1) - FIRST).days
    assert local_days("Asia/Kolkata").birthday_begins(np.array([born]), 18)[0] == np.inf


@pytest.mark.parametrize(("at", "expected"), [(-1e12, FIRST), (1e12, LAST)])
def test_moments_outside_the_calendar_count_as_its_ends(at: float, expected: date) -> None:
    assert local_days("Asia/Kolkata").day_of(np.array([at]))[0] == (expected - FIRST).days


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        local_days("Asia/Nowhere")
