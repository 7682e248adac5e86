import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.history import HALF_LIFE, EventIndex

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=60)


def index(events: list[tuple[int, int]], *, donors: int = 5) -> EventIndex:
    donor = np.array([who for who, _ in events], dtype=np.int32)
    at = np.array([float(when) for _, when in events])
    return EventIndex.build(donors=donors, donor=donor, at=at, weights=(np.ones(len(events)),))


@given(EVENTS, st.integers(0, 4), st.integers(-1, 31))
def test_an_index_answers_like_a_scan_of_all_events(events: list[tuple[int, int]], who: int, as_of: int) -> None:
    built, donor, moment = index(events), np.array([who], dtype=np.int32), np.array([float(as_of)])
    earlier = [when for donor_, when in events if donor_ == who and when < as_of]
    position = built.position(donor, moment)
    assert built.count(donor, position)[0] == len(earlier)
    assert built.last(donor, position)[0] == pytest.approx(max(earlier, default=np.nan), nan_ok=True)
    decayed = sum(2.0 ** ((when - as_of) / HALF_LIFE) for when in earlier)
    assert built.sums(donor, position, moment)[0, 0] == pytest.approx(decayed)


def test_an_event_counts_half_after_the_half_life() -> None:
    built = EventIndex.build(
        donors=1, donor=np.zeros(2, dtype=np.int32), at=np.array([0.0, HALF_LIFE]), weights=(np.array([4.0, 1.0]),)
    )
    donor, moment = np.zeros(1, dtype=np.int32), np.array([2.0 * HALF_LIFE])
    assert built.sums(donor, built.position(donor, moment), moment)[0, 0] == pytest.approx(4.0 / 4.0 + 1.0 / 2.0)


def test_what_has_not_happened_is_not_in_the_index() -> None:
    built = EventIndex.build(donors=2, donor=np.array([0, 1], dtype=np.int32), at=np.array([np.nan, 5.0]))
    donor = np.array([0, 1], dtype=np.int32)
    assert built.count(donor, built.position(donor, np.full(2, 9.0))).tolist() == [0, 1]


@given(EVENTS, EVENTS)
def test_later_events_and_other_donors_change_no_digit(
    past: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    later = [(who, when + 31) for who, when in more]
    others = [(who + 5, when) for who, when in more]
    donor, moment = np.arange(5, dtype=np.int32), np.full(5, 31.0)
    alone, together = index(past), index([*past, *later, *others], donors=10)
    expected = alone.sums(donor, alone.position(donor, moment), moment)
    np.testing.assert_array_equal(together.sums(donor, together.position(donor, moment), moment), expected)
