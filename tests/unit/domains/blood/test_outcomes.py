"""What may be recorded of an ask, whatever order it is entered in."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.donor_schemas import PastAsk
from backend.domains.blood.outcomes import CLOCK_SKEW, MOVES, STEPS, Ask, AskEvent, Occurrence, Refusal, record

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
OUTCOMES = [AskEvent.DONATED, AskEvent.DEFERRED, AskEvent.NO_SHOW, AskEvent.LATE_CANCEL, AskEvent.REQUEST_CANCELLED]


def happened(event: str, minutes: float = 0.0, **changes) -> Occurrence:
    values = {
        "event": AskEvent(event),
        "at": START + timedelta(minutes=minutes),
        "donor_id": 17,
        "request_id": 3,
        "request_created_at": START,
    }
    return Occurrence(**(values | changes))


def after(*occurrences: Occurrence) -> Ask | Refusal:
    """What the last event leads to; all before it are recorded."""
    ask = None
    for number, occurrence in enumerate(occurrences, start=1):
        ask = record(ask, occurrence)
        assert number == len(occurrences) or isinstance(ask, Ask), ask
    return ask


def steps(*events: str) -> list[Occurrence]:
    return [happened(event, minutes) for minutes, event in enumerate(events)]


@pytest.mark.parametrize("outcome", [str(outcome) for outcome in OUTCOMES])
def test_an_accepted_ask_ends_in_any_outcome(outcome):
    ask = after(*steps("asked", "delivered", "seen", "accepted", outcome))
    assert (ask.answer, ask.outcome) == ("accepted", outcome)
    times = [getattr(ask, step) for step in STEPS if step != "arrived_at"]
    assert times == [START + timedelta(minutes=minutes) for minutes in range(5)]


def test_receipts_may_be_missing_or_entered_after_the_answer():
    ask = after(happened("asked"), happened("accepted", 9), happened("donated", 99), happened("delivered", 1))
    assert (ask.delivered_at, ask.seen_at) == (START + timedelta(minutes=1), None)


@pytest.mark.parametrize(
    ("before", "event", "field", "reason"),
    [
        ([], "accepted", "event", "donor 17 was never asked for request 3: record 'asked' first"),
        (["asked"], "donated", "event", "has no answer on record: record 'accepted' first"),
        (["asked"], "arrived", "event", "has no answer on record: record 'accepted' first"),
        (["asked", "declined"], "no_show", "event", "'declined' on record: 'no_show' follows 'accepted' only"),
        (["asked", "declined"], "accepted", "event", "has 'declined' on record already, at 2026-03-01 10:01:00+0000"),
        (["asked", "accepted"], "declined", "event", "record 'late_cancel' if the donor withdrew"),
        (["asked", "accepted"], "accepted", "at", "has 'accepted' on record already, at 2026-03-01 10:01:00+0000"),
        (["asked"], "asked", "at", "has 'asked' on record already"),
        (["asked", "accepted", "donated"], "no_show", "event", "has 'donated' on record already"),
        (["asked", "accepted", "arrived"], "no_show", "event", "'arrived' on record, which rules out 'no_show'"),
        (
            ["asked", "accepted", "late_cancel"],
            "arrived",
            "event",
            "'late_cancel' on record, which rules out 'arrived'",
        ),
    ],
)
def test_what_contradicts_the_record_is_refused_and_says_why(before, event, field, reason):
    refusal = after(*steps(*before), happened(event, 60))
    assert isinstance(refusal, Refusal)
    assert refusal.field == field
    assert reason in refusal.reason


@pytest.mark.parametrize(
    ("event", "minutes", "reason"),
    [
        ("delivered", -1, "lies before asked_at, 2026-03-01 10:00:00+0000"),
        ("delivered", 11, "lies after answered_at"),
        ("arrived", 9, "lies before answered_at"),
        ("arrived", 31, "lies after ended_at"),
    ],
)
def test_times_that_go_backwards_are_refused(event, minutes, reason):
    known = [happened("asked"), happened("accepted", 10), happened("donated", 30)]
    refusal = after(*known, happened(event, minutes))
    assert refusal.field == "at"
    assert reason in refusal.reason


def test_a_cancelled_request_takes_asks_from_before_it_was_cancelled_only():
    cancelled = {"request_cancelled_at": START + timedelta(minutes=30)}
    assert after(happened("asked", 29, **cancelled)).asked_at == START + timedelta(minutes=29)
    refusal = after(happened("asked", 30, **cancelled))
    assert (refusal.field, refusal.reason) == (
        "at",
        "request 3 was cancelled at 2026-03-01 10:30:00+0000, before the donor was asked",
    )


def test_nobody_is_asked_for_a_request_that_was_not_there_but_clocks_may_differ():
    assert isinstance(after(happened("asked", request_created_at=START + CLOCK_SKEW)), Ask)
    refusal = after(happened("asked", request_created_at=START + CLOCK_SKEW + timedelta(seconds=1)))
    assert "was only created at 2026-03-01 10:05:01+0000" in refusal.reason


def test_another_distance_of_the_same_ask_is_refused_and_none_is_no_other():
    asked = happened("asked", distance_km=4.5)
    assert after(asked, happened("asked")) == after(asked)
    assert after(asked, happened("asked", distance_km=5.0)).field == "distance_km"


def test_every_event_has_a_move_and_every_step_a_column():
    assert set(MOVES) == set(AskEvent)
    assert {move.step for move in MOVES.values()} == set(STEPS)
    assert set(STEPS) < {field.name for field in fields(Ask)}


EVENTS = st.lists(st.builds(happened, st.sampled_from(list(AskEvent)), st.integers(-2, 8)), max_size=14).map(
    lambda more: [happened("asked"), *more]
)


def fold(occurrences: list[Occurrence]) -> list[Ask | None]:
    """The ask before the first event and after each; what is refused changes nothing."""
    asks = [None]
    for occurrence in occurrences:
        result = record(asks[-1], occurrence)
        asks.append(asks[-1] if isinstance(result, Refusal) else result)
    return asks


@given(EVENTS)
def test_whatever_is_sent_an_ask_stays_what_the_features_understand(occurrences):
    ask = fold(occurrences)[-1]
    times = [at for step in STEPS if (at := getattr(ask, step)) is not None]
    assert times == sorted(times)
    PastAsk(
        asked_at=ask.asked_at,
        answer=ask.answer,
        answered_at=ask.answered_at,
        outcome=ask.outcome,
        ended_at=ask.ended_at,
    )
    if ask.arrived_at is not None:
        assert ask.answer == "accepted"
        assert ask.outcome not in ("no_show", "late_cancel")


@given(EVENTS)
def test_what_is_on_record_is_never_changed_only_added_to(occurrences):
    asks = fold(occurrences)
    for before, now in pairwise(asks):
        if before is not None:
            kept = {field.name: getattr(before, field.name) for field in fields(Ask)}
            assert replace(now, **{name: value for name, value in kept.items() if value is not None}) == now


@given(EVENTS)
def test_sending_everything_that_was_recorded_once_more_changes_nothing(occurrences):
    ask, recorded = None, []
    for occurrence in occurrences:
        result = record(ask, occurrence)
        if isinstance(result, Ask):
            ask = result
            recorded.append(occurrence)
    assert all(record(ask, occurrence) == ask for occurrence in recorded)


@given(EVENTS, st.randoms(use_true_random=False))
def test_facts_lead_to_the_same_record_in_any_order_that_is_taken(occurrences, random):
    recorded, ask = [], None
    for occurrence in occurrences:
        result = record(ask, occurrence)
        if isinstance(result, Ask):
            ask = result
            recorded.append(occurrence)
    shuffled = random.sample(recorded, len(recorded))
    again = None
    for _ in recorded:  # what had to wait for another event is taken in a later round
        for occurrence in shuffled:
            result = record(again, occurrence)
            again = result if isinstance(result, Ask) else again
    assert again == ask
