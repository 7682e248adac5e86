from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.jobs.schedules.cron import check_cron, latest_fire, next_fire

LONDON = "Europe/London"
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)  # both changes at 01:00 UTC
LINES = ["30 0 * * *", "30 1 * * *", "0 2 * * 0", "*/20 * * * *", "15 * * * *", "0 9 1 * *", "*/10 * * * * *"]
ZONES = ["Asia/Kolkata", "Europe/London", "America/St_Johns", "Pacific/Apia", "UTC"]
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def fires(line: str, after: datetime, count: int, zone: str = LONDON) -> list[str]:
    moments = []
    for _ in range(count):
        after = next_fire(line, zone, after=after)
        moments.append(f"{after.astimezone(ZoneInfo(zone)):%d %H:%M %Z}")
    return moments


def test_a_line_is_read_by_the_clock_of_its_zone():
    after = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert next_fire("30 0 * * *", "Asia/Kolkata", after=after) == datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
    assert next_fire("0 2 * * 0", "Asia/Kolkata", after=after) == datetime(2026, 11, 21, 20, 30, tzinfo=UTC)


def test_a_daily_run_whose_time_is_skipped_in_spring_runs_when_the_clock_has_moved_on():
    assert fires("30 1 * * *", SPRING - timedelta(hours=12), 3) == ["29 02:00 BST", "30 01:30 BST", "31 01:30 BST"]


def test_a_daily_run_whose_time_comes_twice_in_autumn_runs_once():
    assert fires("30 1 * * *", AUTUMN - timedelta(hours=12), 2) == ["25 01:30 BST", "26 01:30 GMT"]
    second_pass = AUTUMN + timedelta(hours=1, minutes=10)
    assert fires("30 1 * * *", second_pass, 1) == ["26 01:30 GMT"]


def test_a_frequent_run_goes_by_elapsed_time_through_both_changes():
    assert fires("30 * * * *", SPRING, 3) == ["29 00:30 GMT", "29 02:30 BST", "29 03:30 BST"]
    assert fires("30 * * * *", AUTUMN, 3) == ["25 01:30 BST", "25 01:30 GMT", "25 02:30 GMT"]


@settings(deadline=None)
@given(line=st.sampled_from(LINES), zone=st.sampled_from(ZONES), after=MOMENTS)
def test_the_next_moment_is_later_and_then_it_is_the_latest(line: str, zone: str, after: datetime):
    first = next_fire(line, zone, after=after)
    assert first > after
    assert first.tzinfo is UTC
    assert latest_fire(line, zone, since=first, until=first) == first


@settings(deadline=None)
@given(
    line=st.sampled_from(LINES[:6]),
    zone=st.sampled_from(ZONES),
    after=MOMENTS,
    days=st.integers(min_value=0, max_value=3),
)
def test_the_latest_moment_is_the_last_of_those_one_after_the_other(line: str, zone: str, after: datetime, days: int):
    since = next_fire(line, zone, after=after)
    until = since + timedelta(days=days)
    passed = [since]
    while (later := next_fire(line, zone, after=passed[-1])) <= until:
        passed.append(later)
    assert latest_fire(line, zone, since=since, until=until) == passed[-1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "wrong number of fields"),
        ("tomorrow", "wrong number of fields"),
        ("@daily", "wrong number of fields"),
        ("60 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 * * 8", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("* * * */0 *", "bad month"),
        ("* * */20 * 1L", "no moment"),
        ("0 " * 60, "at most 100 characters"),
    ],
)
def test_a_line_that_is_none_is_refused_with_the_field(line: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        check_cron(line)


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/,-#LW MONJA²\t", max_size=40))
def test_whatever_is_sent_is_a_cron_line_or_refused(line: str):
    try:
        accepted = check_cron(line)
    except ValueError as error:
        assert "cron line" in str(error)  # noqa: PT017 - both ends are right
    else:
        now = datetime.now(UTC)
        assert next_fire(accepted, LONDON, after=now) > now
