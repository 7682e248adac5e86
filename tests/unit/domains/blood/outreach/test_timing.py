import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.outreach.timing import (
    answer_window,
    chance_in_time,
    chance_kept,
    learnt_hours,
    worth_of_delay,
)
from backend.domains.blood.response import answered_within

EDGES = np.array([0.0, 1.0, 4.0, 24.0, 96.0])
HAZARDS = np.array([[0.1, 0.2, 0.3, 0.1], [0.4, 0.1, 0.05, 0.0]])
DISTANCE = np.array([3.0, 30.0])


def test_the_way_and_the_donation_take_time_from_the_answer() -> None:
    assert answer_window(10.0, DISTANCE) == pytest.approx([10.0 - 0.1 - 0.75, 10.0 - 1.0 - 0.75])
    assert answer_window(1.0, DISTANCE) == pytest.approx([0.15, 0.0])


@given(before=st.floats(0.0, 120.0), after=st.floats(0.0, 120.0))
def test_a_later_ask_is_worth_at_most_as_much_and_nothing_without_time(before: float, after: float) -> None:
    worth = worth_of_delay(HAZARDS, EDGES, before=np.full(2, before), after=np.full(2, after))
    assert (worth >= 0.0).all()
    assert (worth <= 1.0).all()
    assert (worth_of_delay(HAZARDS, EDGES, before=np.full(2, before), after=np.zeros(2)) == 0.0).all()
    if after >= before > 0.01:
        assert worth == pytest.approx([1.0, 1.0])


def test_its_worth_is_the_share_of_the_answers_that_come_in_the_shorter_time() -> None:
    worth = worth_of_delay(HAZARDS, EDGES, before=np.full(2, 24.0), after=np.full(2, 4.0))
    within = [answered_within(HAZARDS, EDGES, np.full(2, hours)) for hours in (4.0, 24.0)]
    assert worth == pytest.approx(within[0] / within[1])


def in_time(hours: float) -> np.ndarray:
    return chance_in_time(
        np.array([0.4, 0.2]), hazards=HAZARDS, edges=EDGES, hours=hours, distance_km=DISTANCE, urgency=4
    )


def test_a_score_stands_as_long_as_the_model_knows_such_deadlines() -> None:
    assert in_time(12.0) == pytest.approx([0.4, 0.2])
    assert in_time(6.0) == pytest.approx([0.4, 0.2])
    assert learnt_hours(7.0, urgency=4) == 7.0
    assert learnt_hours(1.0, urgency=4) == 6.0


def test_with_less_time_than_the_model_has_seen_the_chance_falls_to_nothing() -> None:
    chances = np.array([in_time(hours) for hours in (6.0, 4.0, 2.0, 1.0, 0.5)])
    assert (np.diff(chances, axis=0) < 0.0)[:3].all()
    assert chances[-1].tolist() == [0.0, 0.0]


def test_a_commitment_is_kept_as_often_as_the_two_models_say_together() -> None:
    assert chance_kept(np.array([0.1, 0.3, 0.001]), np.array([0.2, 0.2, 0.5])) == pytest.approx([0.5, 1.0, 0.05])
