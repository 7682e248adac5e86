"""Nothing that identifies is shown of a donor who has not accepted."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.contact_masking import Commitment, is_revealed, mask_name, mask_phone

ACCEPTED_AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHANGES = st.fixed_dictionaries(
    {
        "consented": st.booleans(),
        "answer": st.sampled_from([None, "accepted", "declined"]),
        "outcome": st.sampled_from([None, "donated", "deferred", "no_show", "late_cancel", "request_cancelled"]),
        "urgency": st.integers(1, 4),
        "needed_by": st.none() | st.datetimes(timezones=st.just(UTC)),
        "cancelled_at": st.none() | st.just(ACCEPTED_AT),
    }
)


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("Meera Kumar", "M••• K•••"),
        ("  Anandavalli  ", "A•••"),
        ("K. R. Meera", "K••• M•••"),
        ("(Thomas) O'Neill", "T••• O•••"),
        ("മീര നായർ", "മ••• ന•••"),
        ("9447012345", "•••"),
        ("", "•••"),
        (None, None),
    ],
)
def test_of_a_name_two_initials_are_left(name, masked):
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("+91 94470 12345", "••••••••45"),
        ("0484/2361-090", "••••••••90"),
        ("1098", "••••••••"),
        ("somebody@example.org", "••••••••"),
        ("", "••••••••"),
        (None, None),
    ],
)
def test_of_a_phone_the_last_two_digits_are_left_and_of_a_short_one_none(phone, masked):
    assert mask_phone(phone) == masked


@given(st.text(max_size=60))
def test_what_is_masked_has_one_length_and_tells_no_more_than_two_characters(text):
    name, phone = mask_name(text), mask_phone(text)
    assert all(len(word) <= 4 and word.endswith("•••") for word in name.split(" "))
    assert len(name) in (3, 4, 9)
    assert len(phone) in (8, 10)
    assert len(phone.replace("•", "")) <= 2
    assert not any(character.isdecimal() for character in name)


def commitment(**changes) -> Commitment:
    values = {
        "consented": True,
        "answer": "accepted",
        "answered_at": ACCEPTED_AT,
        "outcome": None,
        "ended_at": None,
        "urgency": 3,
        "needed_by": ACCEPTED_AT + 8 * HOUR,
        "cancelled_at": None,
    }
    return Commitment(**(values | changes))


def test_who_accepted_is_revealed_from_then_on():
    assert is_revealed(commitment(), now=ACCEPTED_AT)
    assert is_revealed(commitment(), now=ACCEPTED_AT + 8 * HOUR)


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": None, "answered_at": None},
        {"answer": "declined"},
        {"consented": False},
        {"cancelled_at": ACCEPTED_AT + HOUR},
        {"outcome": "no_show", "ended_at": ACCEPTED_AT + HOUR},
        {"outcome": "late_cancel", "ended_at": ACCEPTED_AT + HOUR},
        {"outcome": "request_cancelled", "ended_at": ACCEPTED_AT + HOUR},
    ],
)
def test_who_has_not_accepted_withdrew_broke_off_or_is_not_needed_is_masked_at_once(changes):
    assert not is_revealed(commitment(**changes), now=ACCEPTED_AT + HOUR)


@pytest.mark.parametrize("outcome", ["donated", "deferred"])
def test_who_came_is_masked_a_day_later(outcome):
    ended = commitment(outcome=outcome, ended_at=ACCEPTED_AT + 2 * HOUR)
    assert is_revealed(ended, now=ACCEPTED_AT + 25.99 * HOUR)
    assert not is_revealed(ended, now=ACCEPTED_AT + 26 * HOUR)


@pytest.mark.parametrize(
    ("changes", "hours"),
    [
        ({}, 8 + 24),
        ({"needed_by": None, "urgency": 3}, 24 + 24),  # the horizon of urgency 3
        ({"needed_by": ACCEPTED_AT - 5 * HOUR}, 24),  # accepted after the deadline
    ],
)
def test_an_outcome_that_nobody_recorded_leaves_nobody_revealed_for_good(changes, hours):
    assert is_revealed(commitment(**changes), now=ACCEPTED_AT + (hours - 0.01) * HOUR)
    assert not is_revealed(commitment(**changes), now=ACCEPTED_AT + hours * HOUR)


@given(CHANGES, st.timedeltas(timedelta(0), timedelta(days=2)), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_nobody_is_revealed_without_acceptance_and_consent_or_again_once_masked(changes, length, later):
    ended_at = None if changes["outcome"] is None else ACCEPTED_AT + length
    one = commitment(**changes, ended_at=ended_at)
    if is_revealed(one, now=ACCEPTED_AT + later):
        assert one.consented
        assert one.answer == "accepted"
        assert one.cancelled_at is None
        assert is_revealed(one, now=ACCEPTED_AT + later / 2)
