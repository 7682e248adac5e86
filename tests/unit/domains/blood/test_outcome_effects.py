"""What recorded outcomes change elsewhere: deferrals, donations, holds, and what the matches learn."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from backend.domains.blood import donor_pool
from backend.domains.blood.donor_pool import DonorPool
from backend.domains.blood.features import Asks, match_features
from backend.domains.blood.tables import Donation, Donor, DonorHold
from backend.extensions import transaction
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
)


@pytest.fixture
def client(blood_app):
    return blood_app.test_client()


@pytest.fixture
def ids(blood_app) -> dict[str, int]:
    return a_pair()


def test_a_deferral_is_set_on_the_donor_and_never_shortens_a_longer_one(client, blood_app):
    request_id = store(a_request())
    until = {"none": None, "shorter": START + DAY, "longer": START + 300 * DAY}
    donors = {name: store(a_donor(deferred_until=end)) for name, end in until.items()}
    end = START + 90 * DAY
    for donor_id in donors.values():
        ids = {"donor_id": donor_id, "request_id": request_id}
        story = [happened(ids, kind) for kind in ("asked", "accepted")]
        answer = send(client, *story, happened(ids, "deferred", deferred_until=end.isoformat()))
        assert answer.status_code == 200
    assert [donor.deferred_until for donor in rows(Donor)] == [end, end, START + 300 * DAY]


@pytest.fixture
def pool(blood_app, monkeypatch) -> DonorPool:
    """A pool that always catches up before it answers, however busy the machine is."""
    monkeypatch.setattr(donor_pool, "CATCH_UP_INLINE", math.inf)
    return DonorPool()


def test_a_changed_donor_is_seen_by_a_pool_that_was_read_before(client, ids, pool):
    assert np.isnan(pool.snapshot().donors.deferred_until[0])
    end = START + 90 * DAY
    send(client, *(happened(ids, kind) for kind in ("asked", "accepted")))
    send(client, happened(ids, "deferred", deferred_until=end.isoformat()))
    assert pool.snapshot().donors.deferred_until[0] == end.timestamp()


@pytest.mark.parametrize(
    ("known", "donations"),
    [
        (datetime(2026, 3, 1, 18, 29, tzinfo=UTC), 1),  # 23:59 in Kerala, the same day
        (datetime(2026, 3, 1, 18, 30, tzinfo=UTC), 2),  # midnight there
        (datetime(2026, 2, 28, 18, 30, tzinfo=UTC), 1),  # another day in UTC, the same in Kerala
    ],
)
def test_a_donor_has_one_donation_on_a_local_day(client, ids, known, donations):
    store(Donation(donor_id=ids["donor_id"], at=known, component="red_cells"))
    answer = send(client, *(happened(ids, kind) for kind in ("asked", "accepted", "donated")))
    assert (answer.json["donations"], len(rows(Donation))) == (donations - 1, donations)


def test_one_visit_recorded_for_two_requests_is_one_donation(client, ids):
    other = ids | {"request_id": store(a_request())}
    body = [happened(one, kind) for one in (ids, other) for kind in ("asked", "accepted", "donated")]
    assert send(client, *body).json["donations"] == 1
    assert len(rows(Donation)) == 1


def test_an_ask_ends_the_hold_of_its_own_request_only(client, ids):
    other = {"donor_id": store(a_donor()), "request_id": ids["request_id"]}
    for donor_id, request_id in ((ids["donor_id"], ids["request_id"]), (other["donor_id"], store(a_request()))):
        store_hold(donor_id, request_id)
    send(client, happened(ids, "asked"), happened(other, "asked"))
    assert [hold.donor_id for hold in rows(DonorHold)] == [other["donor_id"]]


def store_hold(donor_id, request_id):
    with transaction() as session:
        session.add(DonorHold(donor_id=donor_id, request_id=request_id, until=START + DAY))


def seen_of_the_donor(pool: DonorPool, as_of: datetime):
    """What the match model sees of the only donor at a moment."""
    one = np.ones(1)
    asks = Asks(
        donor=np.zeros(1, dtype=np.int32),
        as_of=np.array([as_of.timestamp()]),
        distance_km=one,
        urgency=one,
        units=one,
        hours_until_needed=one,
        group_match=one,
    )
    features = match_features(pool.snapshot().history, asks)
    return {name: float(features.column(name)[0]) for name in features.names}


def test_matches_learn_from_what_was_recorded_and_see_it_from_the_moment_after_it(client, ids, pool):
    pool.snapshot()
    kinds = ("asked", "accepted", "arrived", "donated")
    send(client, *(happened(ids, kind, 60.0 * hour) for hour, kind in enumerate(kinds)))
    before = seen_of_the_donor(pool, START)
    during = seen_of_the_donor(pool, START + 90 * MINUTE)
    after = seen_of_the_donor(pool, START + 2 * DAY)
    assert (before["asks_last_30d"], during["asks_last_30d"], after["asks_last_30d"]) == (0.0, 1.0, 1.0)
    assert before["acceptance_rate"] < during["acceptance_rate"]
    assert during["completion_rate"] == before["completion_rate"] < after["completion_rate"]
    assert (before["total_donations"], during["total_donations"], after["total_donations"]) == (0.0, 0.0, 1.0)
    assert pool.snapshot().recent_asks((START + DAY).timestamp()).in_30_days.tolist() == [1]


def test_a_broken_commitment_lowers_what_the_donor_is_trusted_with(client, ids, pool):
    send(client, *(happened(ids, kind) for kind in ("asked", "accepted")), happened(ids, "no_show", 600))
    as_of = START + 2 * DAY
    before, after = seen_of_the_donor(pool, START), seen_of_the_donor(pool, as_of)
    assert after["no_show_rate"] > before["no_show_rate"]
    assert after["completion_rate"] < before["completion_rate"]
    assert (before["decayed_commitments"], after["decayed_commitments"]) == (0.0, pytest.approx(1.0, abs=0.01))
