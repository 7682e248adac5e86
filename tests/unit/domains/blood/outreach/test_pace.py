from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.matching import RADIUS_KM
from backend.domains.blood.outreach.pace import PACE, next_allowed, radii, searched_as

KERALA = timezone(timedelta(hours=5, minutes=30))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)).map(datetime.timestamp)  # noqa: DTZ001 - the strategy adds the zone


def local(hour: int, minute: int = 0, *, day: int = 2) -> float:
    return datetime(2026, 3, day, hour, minute, tzinfo=KERALA).timestamp()


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        (local(21, 59), local(21, 59)),
        (local(22), local(7, day=3)),
        (local(23, 30), local(7, day=3)),
        (local(0), local(7)),
        (local(6, 59), local(7)),
        (local(7), local(7)),
    ],
)
def test_nobody_is_alerted_between_ten_and_seven(at: float, allowed: float) -> None:
    assert next_allowed(at, urgency=3) == allowed
    assert next_allowed(at, urgency=4) == at


@given(at=moments, urgency=st.integers(1, 3))
def test_the_next_moment_is_by_day_and_never_past_the_next_morning(at: float, urgency: int) -> None:
    allowed = next_allowed(at, urgency=urgency)
    assert at <= allowed <= at + 9 * 3600
    assert 7 <= datetime.fromtimestamp(allowed, KERALA).hour < 22
    assert next_allowed(allowed, urgency=urgency) == allowed


@pytest.mark.parametrize("urgency", PACE)
def test_the_radius_grows_with_the_waves_up_to_the_widest_of_the_urgency(urgency: int) -> None:
    whole = radii(urgency, 0)
    assert whole[0] == PACE[urgency].first_km
    assert list(whole) == sorted(set(whole))
    assert whole[-1] == RADIUS_KM[urgency]
    assert radii(urgency, 1) == whole[1:]
    assert radii(urgency, 99) == whole[-1:]


def test_more_urgent_requests_look_more_often_and_start_wider_and_wait_less() -> None:
    paces = [PACE[urgency] for urgency in (1, 2, 3, 4)]
    for more, less in zip(paces[1:], paces, strict=False):
        assert more.interval_hours < less.interval_hours
        assert more.first_km > less.first_km
        assert more.patience < less.patience


@pytest.mark.parametrize(
    ("urgency", "hours_left", "level"),
    [(1, 96.0, 1), (1, 24.0, 2), (1, 12.0, 3), (1, 6.0, 4), (3, 12.0, 3), (3, 24.0, 3), (4, 90.0, 4), (2, 0.0, 4)],
)
def test_a_request_that_is_short_near_its_deadline_searches_as_a_more_urgent_one(
    urgency: int, hours_left: float, level: int
) -> None:
    assert searched_as(urgency, hours_left) == level
