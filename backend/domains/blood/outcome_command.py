"""Recording what donors did: all events of a body or none, and as many of a file's as fit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.orm import Session

from backend.domains.blood.geography import distance_km
from backend.domains.blood.outcome_queries import (
    AskedDonor,
    AskingRequest,
    AskKey,
    add_donations,
    defer_donors,
    hold_requests,
    lock_donors,
    read_asks,
    release_holds,
    write_asks,
)
from backend.domains.blood.outcome_schemas import EventCounts, OutcomeEvent, OutcomesRequest, OutcomesResult
from backend.domains.blood.outcomes import Ask, AskEvent, Occurrence, Refusal, record
from backend.errors import FieldError, ValidationFailed
from backend.extensions import transaction
from backend.resources.declaration import Change, Importer, Refused

MOST_REASONS = 100


def record_outcomes(request: OutcomesRequest) -> OutcomesResult:
    """Record events of asks, all or none; those on record already change nothing.

    Raises:
        ValidationFailed: events cannot be recorded; each is named with its position, up to MOST_REASONS.
    """
    with transaction() as session:
        judged = _judge(session, request.events)
        _refuse_all_for_one(judged.results)
        donations = _write(session, judged)
    recorded = Counter(new.event.event for new in judged.new)
    sent = Counter(event.event for event in request.events)
    return OutcomesResult(
        events={
            event: EventCounts(recorded=recorded[event], unchanged=count - recorded[event])
            for event, count in sent.items()
        },
        donations=donations,
    )


def store_events(session: Session, events: Sequence[OutcomeEvent]) -> Sequence[Change | Refused]:
    """Record the events that can be, in the caller's transaction, and say for each, in order, what it did."""
    judged = _judge(session, events)
    _write(session, judged)
    return judged.results


IMPORTER = Importer(
    name="outcomes",
    row=OutcomeEvent,
    key=("request_id", "request_external_id", "donor_id", "donor_external_id", "event"),
    store=store_events,
)


@dataclass(frozen=True, slots=True)
class _New:
    """An event that is not on record yet, with the donor and the request it is about."""

    event: OutcomeEvent
    donor: AskedDonor
    request: AskingRequest

    @property
    def key(self) -> AskKey:
        return (self.request.id, self.donor.id)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What each event does, and the asks as they are after all that can be recorded."""

    results: list[Change | Refused]
    new: list[_New]
    asks: dict[AskKey, Ask]


def _judge(session: Session, events: Sequence[OutcomeEvent]) -> _Judged:
    """Apply the events one after the other to what is on record, and write nothing."""
    donors = lock_donors(session, {event.donor for event in events})
    requests = hold_requests(session, {event.request for event in events})
    pairs = [(donors.get(event.donor), requests.get(event.request)) for event in events]
    asks = read_asks(session, {(request.id, donor.id) for donor, request in pairs if donor and request})
    judged = _Judged(results=[], new=[], asks=asks)
    for event, (donor, request) in zip(events, pairs, strict=True):
        judged.results.append(_judge_one(judged, event, donor, request))
    return judged


def _judge_one(
    judged: _Judged, event: OutcomeEvent, donor: AskedDonor | None, request: AskingRequest | None
) -> Change | Refused:
    if donor is None:
        return Refused("donor_id" if event.donor_id is not None else "donor_external_id", "no such donor")
    if request is None:
        return Refused("request_id" if event.request_id is not None else "request_external_id", "no such blood request")
    new = _New(event, donor, request)
    before = judged.asks.get(new.key)
    after = record(
        before,
        Occurrence(
            event=event.event,
            at=event.at,
            donor_id=donor.id,
            request_id=request.id,
            request_created_at=request.created_at,
            request_cancelled_at=request.cancelled_at,
            distance_km=event.distance_km,
        ),
    )
    if isinstance(after, Refusal):
        return Refused(after.field, after.reason)
    if after == before:
        return Change.UNCHANGED
    judged.asks[new.key] = after
    judged.new.append(new)
    return Change.CREATED if before is None else Change.UPDATED


def _refuse_all_for_one(results: Sequence[Change | Refused]) -> None:
    refused = [(place, result) for place, result in enumerate(results) if isinstance(result, Refused)]
    if not refused:
        return
    fields = [
        FieldError(f"events.{place}.{one.field}" if one.field else f"events.{place}", one.reason)
        for place, one in refused[:MOST_REASONS]
    ]
    if len(refused) > MOST_REASONS:
        fields.append(FieldError("events", f"{len(refused) - MOST_REASONS} more cannot be recorded either"))
    raise ValidationFailed(tuple(fields))


def _write(session: Session, judged: _Judged) -> int:
    """Write what is new; return how many donations were entered."""
    asked = [new for new in judged.new if new.event.event is AskEvent.ASKED]
    asks = {new.key: judged.asks[new.key] for new in judged.new}
    write_asks(session, asks | _with_distances(asks, asked))
    release_holds(session, {new.key for new in asked})
    deferred = sorted(
        (new.event.deferred_until, new.donor.id) for new in judged.new if new.event.deferred_until is not None
    )
    defer_donors(session, {donor_id: until for until, donor_id in deferred})  # of several, the last
    return add_donations(
        session,
        [
            (new.donor.id, new.event.at, new.request.component)
            for new in judged.new
            if new.event.event is AskEvent.DONATED
        ],
    )


def _with_distances(asks: dict[AskKey, Ask], asked: Sequence[_New]) -> dict[AskKey, Ask]:
    """Return the new asks that came without a distance with the one between the two places."""
    without = [new for new in asked if new.event.distance_km is None]
    places = np.array(
        [(new.donor.latitude, new.donor.longitude, new.request.latitude, new.request.longitude) for new in without]
    ).reshape(-1, 4)
    distances = distance_km(*places.T).tolist()
    return {new.key: replace(asks[new.key], distance_km=km) for new, km in zip(without, distances, strict=True)}
