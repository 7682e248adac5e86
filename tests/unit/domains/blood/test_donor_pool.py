"""The donors in memory follow the database."""

import math
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import delete, update

from backend.clock import utc_now
from backend.domains.blood import donor_pool
from backend.domains.blood.donor_pool import DonorPool
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donation, Donor
from backend.errors import NotServed
from backend.extensions import transaction

pytestmark = pytest.mark.usefixtures("blood_app")

START = datetime(2026, 1, 1, tzinfo=UTC)


def a_donor(**changes):
    values = {
        "blood_group": "B+",
        "sex": "male",
        "born_on": date(1990, 1, 2),
        "weight_kg": None,
        "district": "Kannur",
        "latitude": 12.0,
        "longitude": 75.5,
        "consented": True,
        "registered_at": START,
    }
    return Donor(**(values | changes))


def a_request(**changes):
    values = {
        "district": "Kannur",
        "latitude": 12.0,
        "longitude": 75.5,
        "blood_group": "B+",
        "component": "red_cells",
        "units_required": 1,
        "urgency": 2,
        "created_at": START,
    }
    return BloodRequest(**(values | changes))


def store(*rows):
    with transaction() as session:
        session.add_all(rows)
    return rows[0].id


def test_a_pool_without_donors_says_what_to_do():
    with pytest.raises(NotServed, match="flask seed"):
        DonorPool().snapshot()


def test_donors_are_read_with_codes_and_missing_numbers():
    donor_id = store(a_donor(deferred_until=START))
    donors = DonorPool().snapshot().donors
    assert donors.id.tolist() == [donor_id]
    assert (donors.blood_group[0], donors.sex[0], donors.district[0]) == (5, 1, 12)
    assert math.isnan(donors.weight_kg[0])
    assert donors.deferred_until[0] == START.timestamp()
    assert donors.born_at[0] == datetime(1990, 1, 2, tzinfo=UTC).timestamp()


def test_an_unchanged_database_gives_the_same_snapshot():
    store(a_donor())
    pool = DonorPool()
    assert pool.snapshot() is pool.snapshot()


def test_a_new_donor_a_changed_one_and_their_donations_are_seen_at_once():
    first = store(a_donor())
    pool = DonorPool()
    pool.snapshot()
    second = store(a_donor(blood_group="O-"))
    with transaction() as session:
        session.execute(update(Donor).where(Donor.id == first).values(consented=False, updated_at=utc_now()))
    store(Donation(donor_id=second, at=START, component="red_cells"))
    snapshot = pool.snapshot()
    assert snapshot.donors.id.tolist() == [first, second]
    assert snapshot.donors.consented.tolist() == [False, True]
    assert len(snapshot.history.donations.at) == 1


def test_an_answer_that_came_later_replaces_the_silent_row():
    donor, request = store(a_donor()), store(a_request())
    contact = store(ContactOutcome(donor_id=donor, request_id=request, asked_at=START, distance_km=3.0))
    pool = DonorPool()
    before = pool.snapshot()
    assert before.asked.tolist() == [0]
    with transaction() as session:
        row = session.get(ContactOutcome, contact)
        row.answer, row.answered_at = "accepted", START + timedelta(hours=1)
    after = pool.snapshot()
    assert after is not before
    assert after.asked.tolist() == [0], "replaced, not doubled"


def test_events_of_a_donor_who_is_gone_are_left_out():
    kept, gone, request = store(a_donor()), store(a_donor()), store(a_request())
    store(ContactOutcome(donor_id=gone, request_id=request, asked_at=START))
    with transaction() as session:
        session.execute(delete(Donor).where(Donor.id == gone))
    snapshot = DonorPool().snapshot()
    assert snapshot.donors.id.tolist() == [kept]
    assert snapshot.asked.tolist() == []


def test_recent_asks_count_the_last_thirty_days_and_leave_critical_requests_out():
    donor = store(a_donor())
    now = START + timedelta(days=100)
    for days, urgency in ((90, 1), (20, 1), (5, 1), (1, 4)):
        request = store(a_request(urgency=urgency))
        store(ContactOutcome(donor_id=donor, request_id=request, asked_at=now - timedelta(days=days)))
    recent = DonorPool().snapshot().recent_asks(now.timestamp())
    assert recent.in_30_days.tolist() == [2]
    assert recent.last_at[0] == (now - timedelta(days=5)).timestamp()


def test_whoever_asks_for_it_gets_a_pool_that_has_caught_up_however_long_that_takes(monkeypatch):
    monkeypatch.setattr(donor_pool, "CATCH_UP_INLINE", -1.0)
    store(a_donor())
    pool = DonorPool()
    pool.snapshot()
    store(a_donor())
    assert len(pool.snapshot(caught_up=True).donors) == 2


def test_a_pool_that_catches_up_slowly_answers_at_once_and_catches_up_behind(monkeypatch):
    store(a_donor())
    pool = DonorPool()
    before = pool.snapshot()
    monkeypatch.setattr(donor_pool, "CATCH_UP_INLINE", -1.0)
    store(a_donor())
    assert pool.snapshot() is before
    for thread in threading.enumerate():
        if thread.name == "donor-pool":
            thread.join(timeout=10)
    assert len(pool.snapshot().donors) == 2
