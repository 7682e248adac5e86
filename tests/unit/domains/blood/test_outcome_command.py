"""Recording what donors did: over HTTP and from a file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import event

from backend.clock import utc_now
from backend.domains.blood.geography import distance_km
from backend.domains.blood.outcome_command import IMPORTER, MOST_REASONS
from backend.domains.blood.outcome_schemas import MOST_EVENTS, OutcomeEvent
from backend.domains.blood.tables import ContactOutcome, Donation, Donor
from backend.extensions import db, transaction
from backend.resources.declaration import Change, Refused
from tests.unit.domains.blood.outcome_cases import (
    DAY,
    MINUTE,
    START,
    a_donor,
    a_pair,
    a_request,
    happened,
    rows,
    send,
    store,
    values,
)


@pytest.fixture
def client(blood_app):
    return blood_app.test_client()


@pytest.fixture
def ids(blood_app) -> dict[str, int]:
    return a_pair()


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    seen = []

    def count(_connection, _cursor, statement, *_rest):
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", count)
    yield seen
    event.remove(db.engine, "before_cursor_execute", count)


def test_a_story_from_ask_to_donation_is_one_row_and_one_donation(client, ids):
    kinds = ("asked", "delivered", "seen", "accepted", "arrived", "donated")
    answer = send(client, *(happened(ids, kind, minutes) for minutes, kind in enumerate(kinds)))
    assert (answer.status_code, answer.json["donations"]) == (200, 1)
    assert answer.json["events"] == {kind: {"recorded": 1, "unchanged": 0} for kind in kinds}
    (ask,) = rows(ContactOutcome)
    assert (ask.donor_id, ask.request_id, ask.answer, ask.outcome) == (*ids.values(), "accepted", "donated")
    times = (ask.asked_at, ask.delivered_at, ask.seen_at, ask.answered_at, ask.arrived_at, ask.ended_at)
    assert times == tuple(START + minutes * MINUTE for minutes in range(6))
    expected = distance_km(*map(np.array, (12.0, 75.5, 11.9, 75.4)))
    assert ask.distance_km == pytest.approx(float(expected))
    (donation,) = rows(Donation)
    assert (donation.donor_id, donation.at, donation.component) == (ids["donor_id"], START + 5 * MINUTE, "platelets")


def test_events_may_come_one_by_one_with_external_ids_and_a_distance(client):
    store(a_donor(external_id="D-1"), a_request(external_id="R-1"))
    names = {"donor_external_id": "D-1", "request_external_id": "R-1"}
    for kind, more in (("asked", {"distance_km": 3.5}), ("declined", {})):
        assert send(client, happened(names, kind, **more)).status_code == 200
    (ask,) = rows(ContactOutcome)
    assert (ask.distance_km, ask.answer, ask.answered_at) == (3.5, "declined", START)


def test_the_same_body_again_changes_nothing(client, ids):
    body = [happened(ids, kind) for kind in ("asked", "accepted", "donated")]
    send(client, *body)
    before = (values(ContactOutcome), values(Donation), values(Donor))
    again = send(client, *body)
    assert again.json == {
        "events": {kind: {"recorded": 0, "unchanged": 1} for kind in ("asked", "accepted", "donated")},
        "donations": 0,
    }
    assert (values(ContactOutcome), values(Donation), values(Donor)) == before


def test_what_is_added_later_moves_updated_at_and_leaves_the_other_asks(client, ids):
    other = {"donor_id": store(a_donor()), "request_id": ids["request_id"]}
    send(client, happened(ids, "asked"), happened(other, "asked"))
    first, second = rows(ContactOutcome)
    send(client, happened(ids, "asked"), happened(other, "asked"), happened(other, "seen"))
    first_again, second_again = rows(ContactOutcome)
    assert (first_again.id, first_again.updated_at) == (first.id, first.updated_at)
    assert second_again.id == second.id
    assert second_again.updated_at > second.updated_at


def test_every_wrong_event_is_named_and_nothing_is_stored(client, ids):
    answer = send(
        client,
        happened(ids, "asked"),
        happened(ids | {"donor_id": 999}, "asked"),
        happened(ids | {"request_id": 999}, "asked"),
        happened(ids, "donated", 5),
        happened(ids, "seen", -5),
    )
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    errors = {error["field"]: error["reason"] for error in answer.json["errors"]}
    assert list(errors) == ["events.1.donor_id", "events.2.request_id", "events.3.event", "events.4.at"]
    assert errors["events.1.donor_id"] == "no such donor"
    assert errors["events.2.request_id"] == "no such blood request"
    assert "record 'accepted' first" in errors["events.3.event"]
    assert "lies before asked_at" in errors["events.4.at"]
    assert rows(ContactOutcome) == []


def test_an_outcome_of_a_donor_who_was_never_asked_says_what_to_do(client, ids):
    answer = send(client, happened(ids, "no_show"))
    (error,) = answer.json["errors"]
    assert error["reason"] == (
        f"donor {ids['donor_id']} was never asked for request {ids['request_id']}: record 'asked' first"
    )


def test_of_very_many_wrong_events_a_hundred_are_named_and_the_others_counted(client, ids):
    answer = send(client, *[happened(ids, "seen")] * (MOST_REASONS + 23))
    assert len(answer.json["errors"]) == MOST_REASONS + 1
    assert answer.json["errors"][-1] == {"field": "events", "reason": "23 more cannot be recorded either"}


def test_an_unknown_external_id_is_named_by_its_field_and_not_repeated(client, ids):
    answer = send(client, happened({"donor_external_id": "Meera", "request_id": ids["request_id"]}, "asked"))
    assert answer.json["errors"] == [{"field": "events.0.donor_external_id", "reason": "no such donor"}]
    assert "Meera" not in answer.text


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"event": "asked", "donor_external_id": "D-1"}, "events.0", "give either donor_id or donor_external_id"),
        ({"event": "asked", "request_id": None}, "events.0", "give either request_id or request_external_id"),
        ({"event": "seen", "distance_km": 1.0}, "events.0", "distance_km belongs to 'asked' only"),
        ({"event": "asked", "distance_km": -1.0}, "events.0.distance_km", "greater than or equal to 0"),
        (
            {"event": "donated", "deferred_until": "2026-04-01T00:00:00Z"},
            "events.0",
            "deferred_until belongs to 'deferred' only",
        ),
        ({"event": "deferred", "deferred_until": "2026-03-01T10:00:00Z"}, "events.0", "must be later than at"),
        (
            {"event": "deferred", "deferred_until": "9999-12-31T23:59:59-12:00"},
            "events.0.deferred_until",
            "must lie from 1900 to 2149",
        ),
        ({"event": "asked", "at": "2026-03-01T10:00:00"}, "events.0.at", "timezone"),
        ({"event": "asked", "at": "1990-01-01T00:00:00Z"}, "events.0.at", "was only created at"),
        ({"event": "asked", "at": "0001-01-01T00:00:00+14:00"}, "events.0.at", "must lie from 1900 to 2149"),
        ({"event": "forgotten"}, "events.0.event", "'asked'"),
    ],
)
def test_bad_events_say_where_and_why(client, ids, wrong, field, reason):
    answer = send(client, happened(ids, "asked") | wrong)
    (error,) = answer.json["errors"]
    assert (answer.status_code, error["field"]) == (422, field)
    assert reason in error["reason"]


def test_the_future_is_refused_and_a_clock_five_minutes_ahead_is_not(client, ids):
    soon, later = utc_now() + 4 * MINUTE, utc_now() + 6 * MINUTE
    assert send(client, happened(ids, "asked") | {"at": later.isoformat()}).status_code == 422
    assert send(client, happened(ids, "asked") | {"at": soon.isoformat()}).status_code == 200


@pytest.mark.parametrize("count", [0, MOST_EVENTS + 1])
def test_a_body_has_one_to_a_thousand_events(client, ids, count):
    answer = send(client, *[happened(ids, "asked")] * count)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "events")


def test_a_thousand_events_take_a_handful_of_statements(client):
    donors = [a_donor() for _ in range(250)]
    request_id = store(a_request())
    store(*donors)
    body = [
        happened({"donor_id": donor.id, "request_id": request_id}, kind, **more)
        for donor in donors
        for kind, more in (
            ("asked", {}),
            ("accepted", {}),
            ("arrived", {}),
            ("deferred", {"deferred_until": (START + DAY).isoformat()}),
        )
    ]
    with counted_statements() as statements:
        assert send(client, *body).status_code == 200
    assert len([one for one in statements if not one.startswith("PRAGMA")]) <= 8
    assert len(rows(ContactOutcome)) == 250


def test_two_bodies_with_the_same_events_at_once_both_succeed(blood_app, ids):
    barrier, answers = threading.Barrier(4), []

    def post():
        with blood_app.test_client() as client:
            barrier.wait(timeout=10)
            answers.append(send(client, *(happened(ids, kind) for kind in ("asked", "accepted", "donated"))))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sorted(answer.json["donations"] for answer in answers) == [0, 0, 0, 1]
    assert (len(rows(ContactOutcome)), len(rows(Donation))) == (1, 1)


def test_a_file_stores_what_it_can_and_says_what_it_cannot(blood_app):
    store(a_donor(external_id="D-1"), a_request(external_id="R-1"))
    cells = {
        "request_id": None,
        "request_external_id": "R-1",
        "donor_id": None,
        "donor_external_id": "D-1",
        "distance_km": None,
        "deferred_until": None,
        "at": START.isoformat(),
    }
    events = [
        IMPORTER.row.model_validate(cells | changes)
        for changes in (
            {"event": "asked", "distance_km": "2.5"},
            {"event": "donated"},
            {"event": "accepted"},
            {"event": "asked"},
            {"event": "asked", "donor_external_id": "D-2"},
            {"event": "deferred", "deferred_until": "2026-05-01T00:00:00+05:30"},
        )
    ]
    with transaction() as session:
        results = IMPORTER.store(session, events)
    assert [results[place] for place in (0, 2, 3, 5)] == [
        Change.CREATED,
        Change.UPDATED,
        Change.UNCHANGED,
        Change.UPDATED,
    ]
    assert isinstance(results[1], Refused)
    assert "record 'accepted' first" in results[1].reason
    assert results[4] == Refused("donor_external_id", "no such donor")
    (ask,) = rows(ContactOutcome)
    assert (ask.distance_km, ask.answer, ask.outcome) == (2.5, "accepted", "deferred")


def test_a_file_may_hold_more_asks_than_one_statement_takes(blood_app):
    request_id = store(a_request())
    donors = [a_donor() for _ in range(2_100)]
    store(*donors)
    events = [
        OutcomeEvent(donor_id=donor.id, request_id=request_id, event="asked", at=START, distance_km=1.0)
        for donor in donors
    ]
    for expected in (Change.CREATED, Change.UNCHANGED):
        with transaction() as session:
            assert set(IMPORTER.store(session, events)) == {expected}


def test_the_key_of_a_file_names_columns_of_its_rows():
    assert set(IMPORTER.key) < set(OutcomeEvent.model_fields)
