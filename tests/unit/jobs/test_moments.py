"""Deadlines as callers write them: a moment, or a duration from now."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from backend.clock import utc_now
from backend.jobs.moments import Deadline

DEADLINE = TypeAdapter(Deadline)
SECOND = timedelta(seconds=1)


def read(text: str) -> datetime:
    return DEADLINE.validate_python(text)


def reason(text: object) -> str:
    with pytest.raises(ValidationError) as refused:
        DEADLINE.validate_python(text)
    return refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT30S", 30), ("PT2M", 120), ("PT1H30M", 5_400), ("P1D", 86_400), ("P1DT1S", 86_401), ("PT0.5S", 0.5)],
)
def test_a_duration_counts_from_now(text: str, seconds: float):
    before = utc_now()
    deadline = read(text)
    assert before <= deadline - timedelta(seconds=seconds) <= utc_now()


@given(st.timedeltas(timedelta(), timedelta(days=40_000)))
def test_every_duration_in_reach_is_read(duration: timedelta):
    text = f"P{duration.days}DT{duration.seconds}.{duration.microseconds:06}S"
    before = utc_now()
    assert before <= read(text) - duration <= utc_now()


@given(
    st.datetimes(datetime(1901, 1, 1), datetime(2149, 1, 1)),  # noqa: DTZ001 - hypothesis wants them naive
    st.integers(-14 * 60, 14 * 60),
)
def test_a_moment_is_read_with_its_zone(moment: datetime, minutes: int):
    local = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read(local.isoformat()) == local.astimezone(UTC)


@given(st.text() | st.text("PTDHMSWY0123456789.-+:Z ", max_size=20))
def test_whatever_is_written_is_a_moment_with_a_zone_or_refused(text: str):
    with suppress(ValidationError):
        assert read(text).utcoffset() is not None


@pytest.mark.parametrize("text", ["P", "PT", "PX", "PT5", "P-1", "Pfive", "PT1E9S", "P999999999999D"])
def test_what_is_no_duration_says_how_to_write_one(text: str):
    assert "write 30 seconds as PT30S" in reason(text)


def test_a_duration_beyond_every_calendar_is_refused():
    assert "must lie from 1900 to 2149" in reason("P200000D")


@pytest.mark.parametrize("text", ["30", "1767225600", 30])
def test_a_number_is_no_deadline(text: object):
    assert "is a number" in reason(text)


def test_a_moment_without_a_zone_is_refused():
    assert "timezone" in reason("2026-03-01T10:30:00")


def test_yesterday_is_read_and_refused_later_where_the_clock_of_the_server_is_told():
    assert read((utc_now() - SECOND).isoformat()) < utc_now()
