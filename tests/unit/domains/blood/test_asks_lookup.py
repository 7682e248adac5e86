"""Whom a request asked: masked until a donor accepted."""

from datetime import date, timedelta

import pytest

from backend.clock import utc_now
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donor
from backend.extensions import transaction

NAME, PHONE = "Meera Kumar", "+91 94470 12345"
HOUR = timedelta(hours=1)


@pytest.fixture
def client(blood_app):
    return blood_app.test_client()


def store(row):
    with transaction() as session:
        session.add(row)
    return row.id


def a_request(**changes) -> int:
    values = {
        "district": "Kannur",
        "latitude": 11.9,
        "longitude": 75.4,
        "blood_group": "B+",
        "component": "red_cells",
        "units_required": 1,
        "urgency": 2,
        "created_at": utc_now() - 200 * HOUR,
    }
    return store(BloodRequest(**(values | changes)))


def an_ask(request_id: int, *, consented: bool = True, **columns) -> int:
    """Ask a donor of the request's own; `columns` is what came of it."""
    donor_id = store(
        Donor(
            name=NAME,
            phone=PHONE,
            blood_group="B+",
            sex="female",
            born_on=date(1990, 1, 2),
            district="Kannur",
            latitude=12.0,
            longitude=75.5,
            consented=consented,
            registered_at=utc_now() - 900 * HOUR,
        )
    )
    store(ContactOutcome(donor_id=donor_id, request_id=request_id, asked_at=utc_now() - 150 * HOUR, **columns))
    return donor_id


def accepted(hours_ago: float = 1.0):
    return {"answer": "accepted", "answered_at": utc_now() - hours_ago * HOUR}


def ended(outcome: str, hours_ago: float):
    return accepted(hours_ago + 1) | {"outcome": outcome, "ended_at": utc_now() - hours_ago * HOUR}


def read(client, asked_for, **query):
    return client.get(f"/api/ml/requests/{asked_for}/asks", query_string=query)


@pytest.mark.parametrize("columns", [accepted(), ended("donated", 23), ended("deferred", 23)])
def test_a_donor_who_accepted_can_be_reached(client, columns):
    request_id = a_request()
    an_ask(request_id, **columns)
    (ask,) = read(client, request_id).json["asks"]
    assert (ask["revealed"], ask["name"], ask["phone"]) == (True, NAME, PHONE)
    assert ask["answer"] == "accepted"


@pytest.mark.parametrize(
    ("columns", "request_columns"),
    [
        ({}, {}),
        ({"answer": "declined", "answered_at": utc_now()}, {}),
        (accepted() | {"consented": False}, {}),
        (accepted(), {"cancelled_at": utc_now()}),
        (accepted(hours_ago=100), {}),
        (ended("donated", 25), {}),
        (ended("no_show", 1), {}),
        (ended("late_cancel", 1), {}),
        (ended("request_cancelled", 1), {}),
    ],
)
def test_of_everybody_else_nothing_that_identifies_is_in_the_answer(client, columns, request_columns):
    request_id = a_request(**request_columns)
    an_ask(request_id, **columns)
    answer = read(client, request_id)
    (ask,) = answer.json["asks"]
    assert (ask["revealed"], ask["name"], ask["phone"]) == (False, "M••• K•••", "••••••••45")
    assert not any(part in answer.get_data(as_text=True) for part in ("Meera", "Kumar", "94470", "12345"))


def test_acceptance_of_one_request_reveals_nobody_to_another(client):
    first, second = a_request(), a_request()
    donor_id = an_ask(first, **accepted())
    store(ContactOutcome(donor_id=donor_id, request_id=second, asked_at=utc_now()))
    assert [ask["revealed"] for ask in read(client, first).json["asks"]] == [True]
    assert [ask["revealed"] for ask in read(client, second).json["asks"]] == [False]


def test_pages_follow_the_order_recorded_and_each_carries_the_counts_of_all(client):
    request_id, other = a_request(), a_request()
    an_ask(other)
    stories = [
        {},
        {"answer": "declined", "answered_at": utc_now()},
        accepted(),
        accepted() | {"arrived_at": utc_now()},
        ended("donated", 0.5),
    ]
    donors = [an_ask(request_id, **story) for story in stories]
    first = read(client, request_id, limit=3).json
    rest = read(client, request_id, limit=3, after_id=first["next_after_id"]).json
    assert [ask["donor_id"] for ask in first["asks"] + rest["asks"]] == donors
    assert rest["next_after_id"] is None
    assert first["summary"] == rest["summary"]
    assert first["summary"] == {"asked": 5, "answered": 4, "accepted": 3, "arrived": 2, "donated": 1}


def test_a_request_that_asked_nobody_has_an_empty_page(client):
    page = read(client, a_request()).json
    assert (page["asks"], page["next_after_id"]) == ([], None)
    assert set(page["summary"].values()) == {0}


def test_an_unknown_request_is_a_404(client):
    answer = read(client, 999)
    assert (answer.status_code, answer.json["detail"]) == (404, "no blood request 999")


@pytest.mark.parametrize(
    ("query", "field"), [({"limit": 0}, "limit"), ({"after_id": -1}, "after_id"), ({"request_id": 1}, "request_id")]
)
def test_bad_parameters_are_named(client, query, field):
    answer = read(client, a_request(), **query)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
