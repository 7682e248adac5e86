"""What may happen to a donor who is asked, and in which order: the states of one ask and the moves between them.

Facts come late and not in order: a receipt may be entered after the answer. So an event is judged by what is on record
and by its own time, not by when it is entered: each step happens once, no earlier than the steps before it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the clock of whoever asks may be behind that of whoever entered the request."""


class AskEvent(StrEnum):
    """What can be recorded of an ask."""

    ASKED = "asked"
    DELIVERED = "delivered"
    SEEN = "seen"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    ARRIVED = "arrived"
    DONATED = "donated"
    DEFERRED = "deferred"
    NO_SHOW = "no_show"
    LATE_CANCEL = "late_cancel"
    REQUEST_CANCELLED = "request_cancelled"


Step = Literal["asked_at", "delivered_at", "seen_at", "answered_at", "arrived_at", "ended_at"]
STEPS: Final[tuple[Step, ...]] = ("asked_at", "delivered_at", "seen_at", "answered_at", "arrived_at", "ended_at")
"""The times of an ask, in the order in which they come."""


@dataclass(frozen=True, slots=True)
class Move:
    """What an event does to an ask: the time it sets, the column that says what happened then, and its conditions."""

    step: Step
    says: Literal["answer", "outcome"] | None = None
    accepted: bool = False  # only an accepted ask can make it
    absent: bool = False  # says that the donor never came


MOVES: Final = MappingProxyType(
    {
        AskEvent.ASKED: Move("asked_at"),
        AskEvent.DELIVERED: Move("delivered_at"),
        AskEvent.SEEN: Move("seen_at"),
        AskEvent.ACCEPTED: Move("answered_at", says="answer"),
        AskEvent.DECLINED: Move("answered_at", says="answer"),
        AskEvent.ARRIVED: Move("arrived_at", accepted=True),
        AskEvent.DONATED: Move("ended_at", says="outcome", accepted=True),
        AskEvent.DEFERRED: Move("ended_at", says="outcome", accepted=True),
        AskEvent.NO_SHOW: Move("ended_at", says="outcome", accepted=True, absent=True),
        AskEvent.LATE_CANCEL: Move("ended_at", says="outcome", accepted=True, absent=True),
        AskEvent.REQUEST_CANCELLED: Move("ended_at", says="outcome", accepted=True),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One time a donor was asked, and what came of it so far; a step that has not happened is None."""

    asked_at: datetime
    distance_km: float | None = None
    delivered_at: datetime | None = None
    seen_at: datetime | None = None
    answer: str | None = None
    answered_at: datetime | None = None
    arrived_at: datetime | None = None
    outcome: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """An event with the donor and the request it is about."""

    event: AskEvent
    at: datetime
    donor_id: int
    request_id: int
    request_created_at: datetime
    request_cancelled_at: datetime | None = None
    distance_km: float | None = None  # said of an ask


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which field of an event stands against recording it, and why."""

    field: str
    reason: str


def record(ask: Ask | None, occurrence: Occurrence) -> Ask | Refusal:
    """Return the ask as the event leaves it, the same if the event is on record already, or why it cannot be."""
    if ask is None:
        return _open(occurrence)
    known = _known(ask, occurrence)
    if known is not None:
        return known
    refusal = _contradiction(ask, occurrence) or _disorder(ask, occurrence)
    if refusal is not None:
        return refusal
    move = MOVES[occurrence.event]
    changes: dict[str, Any] = {move.step: occurrence.at}
    if move.says is not None:
        changes[move.says] = str(occurrence.event)
    return replace(ask, **changes)


def _open(occurrence: Occurrence) -> Ask | Refusal:
    o = occurrence
    if o.event is not AskEvent.ASKED:
        return Refusal("event", f"donor {o.donor_id} was never asked for request {o.request_id}: record 'asked' first")
    if o.at < o.request_created_at - CLOCK_SKEW:
        return Refusal(
            "at", f"request {o.request_id} was only created at {_text(o.request_created_at)}: correct one of the times"
        )
    if o.request_cancelled_at is not None and o.at >= o.request_cancelled_at:
        return Refusal(
            "at", f"request {o.request_id} was cancelled at {_text(o.request_cancelled_at)}, before the donor was asked"
        )
    return Ask(asked_at=o.at, distance_km=o.distance_km)


def _known(ask: Ask, occurrence: Occurrence) -> Ask | Refusal | None:
    """Compare the event with the step on record; None if the step has not happened yet."""
    o, move = occurrence, MOVES[occurrence.event]
    at = getattr(ask, move.step)
    if at is None:
        return None
    said = str(o.event) if move.says is None else getattr(ask, move.says)
    if said != o.event:
        withdrew = ": record 'late_cancel' if the donor withdrew" if o.event is AskEvent.DECLINED else ""
        return Refusal("event", f"{_who(o)} has {said!r} on record already, at {_text(at)}{withdrew}")
    if at != o.at:
        return Refusal("at", f"{_who(o)} has {said!r} on record already, at {_text(at)}")
    if o.distance_km is not None and o.distance_km != ask.distance_km:
        return Refusal("distance_km", "this ask is on record with another distance")
    return ask


def _contradiction(ask: Ask, occurrence: Occurrence) -> Refusal | None:
    """Return how the event contradicts what is on record of other steps."""
    o, move = occurrence, MOVES[occurrence.event]
    if move.accepted and ask.answer is None:
        return Refusal("event", f"{_who(o)} has no answer on record: record 'accepted' first")
    if move.accepted and ask.answer != AskEvent.ACCEPTED:
        return Refusal("event", f"{_who(o)} has {ask.answer!r} on record: '{o.event}' follows 'accepted' only")
    if move.absent and ask.arrived_at is not None:
        return Refusal("event", f"{_who(o)} has 'arrived' on record, which rules out '{o.event}'")
    if o.event is AskEvent.ARRIVED and ask.outcome is not None and MOVES[AskEvent(ask.outcome)].absent:
        return Refusal("event", f"{_who(o)} has {ask.outcome!r} on record, which rules out 'arrived'")
    return None


def _disorder(ask: Ask, occurrence: Occurrence) -> Refusal | None:
    """Return which step on record the event would have to follow, or to come before, and does not."""
    place = STEPS.index(MOVES[occurrence.event].step)
    for number, step in enumerate(STEPS):
        at = getattr(ask, step)
        if at is None:
            continue
        if number < place and occurrence.at < at:
            return Refusal("at", f"lies before {step}, {_text(at)}")
        if number > place and occurrence.at > at:
            return Refusal("at", f"lies after {step}, {_text(at)}")
    return None


def _who(occurrence: Occurrence) -> str:
    return f"donor {occurrence.donor_id}, asked for request {occurrence.request_id},"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S%z}"
