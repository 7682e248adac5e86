"""Who was asked, who is taken, and whom a plan holds."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from backend.domains.blood.outreach_queries import COMMITTED, asks_of, committed_donors, held_donors, hold
from backend.domains.blood.tables import ContactOutcome, DonorHold
from backend.extensions import transaction
from tests.unit.domains.blood.outcome_cases import DAY, MINUTE, START, a_donor, a_request, store

NOW = START + 30 * DAY
HOUR = timedelta(hours=1)


@pytest.fixture
def donors(blood_app) -> list[int]:
    return [store(a_donor()) for _ in range(4)]


@pytest.fixture
def requests(blood_app) -> list[int]:
    return [store(a_request()) for _ in range(2)]


def asked(donor, request, **columns):
    store(ContactOutcome(donor_id=donor, request_id=request, asked_at=NOW - DAY, **columns))


def held(*donors, by, until=NOW + HOUR, now=NOW, take_over=False):
    with transaction() as session:
        hold(session, donors, request_id=by, until=until, now=now, take_over=take_over)


def holds() -> dict[int, int]:
    with transaction(read_only=True) as session:
        return dict(session.execute(select(DonorHold.donor_id, DonorHold.request_id)).all())


def read(query, **options):
    with transaction(read_only=True) as session:
        return query(session, **options)


def test_the_asks_of_a_request_are_its_own_by_donor(donors, requests):
    asked(donors[2], requests[0], answer="accepted", answered_at=NOW, outcome="donated", distance_km=3.5)
    asked(donors[0], requests[0])
    asked(donors[1], requests[1])
    with transaction(read_only=True) as session:
        found = asks_of(session, requests[0])
    assert [ask.donor_id for ask in found] == [donors[0], donors[2]]
    assert found[1] == (donors[2], NOW - DAY, 3.5, "accepted", NOW, "donated")
    assert (found[0].answer, found[0].answered_at, found[0].outcome) == (None, None, None)


def test_who_accepted_another_request_and_is_not_done_is_committed(donors, requests):
    asked(donors[0], requests[0], answer="accepted", answered_at=NOW - DAY)
    asked(donors[1], requests[0], answer="declined", answered_at=NOW - DAY)
    asked(donors[2], requests[0], answer="accepted", answered_at=NOW - DAY, outcome="no_show")
    asked(donors[3], requests[1], answer="accepted", answered_at=NOW - DAY)
    assert read(committed_donors, besides=requests[1], now=NOW) == {donors[0]}
    assert read(committed_donors, besides=requests[0], now=NOW) == {donors[3]}


def test_an_acceptance_of_which_nothing_was_heard_binds_for_a_week(donors, requests):
    asked(donors[0], requests[0], answer="accepted", answered_at=NOW)
    assert read(committed_donors, besides=requests[1], now=NOW + COMMITTED - MINUTE) == {donors[0]}
    assert read(committed_donors, besides=requests[1], now=NOW + COMMITTED) == set()


def test_a_hold_lasts_until_its_moment_and_is_no_matter_to_its_own_request(donors, requests):
    held(*donors[:2], by=requests[0])
    assert read(held_donors, besides=requests[1], now=NOW) == set(donors[:2])
    assert read(held_donors, besides=requests[1], now=NOW + HOUR) == set()
    assert read(held_donors, besides=requests[0], now=NOW) == set()


def test_holding_again_lets_go_of_those_no_longer_meant(donors, requests):
    held(*donors[:3], by=requests[0])
    held(donors[2], donors[3], by=requests[0])
    assert holds() == {donors[2]: requests[0], donors[3]: requests[0]}
    held(by=requests[0])
    assert holds() == {}


def test_a_donor_whom_another_plan_holds_cannot_be_held_and_nothing_changes(donors, requests):
    held(donors[0], by=requests[0])
    held(donors[1], by=requests[1])
    with pytest.raises(IntegrityError):
        held(donors[0], donors[2], by=requests[1])
    assert holds() == {donors[0]: requests[0], donors[1]: requests[1]}


def test_a_hold_that_ran_out_is_in_nobodys_way(donors, requests):
    held(donors[0], by=requests[0])
    held(donors[0], by=requests[1], now=NOW + HOUR, until=NOW + 2 * HOUR)
    assert holds() == {donors[0]: requests[1]}


def test_who_takes_over_takes_the_donors_named_and_no_others(donors, requests):
    held(*donors[:2], by=requests[0])
    held(donors[1], donors[2], by=requests[1], take_over=True)
    assert holds() == {donors[0]: requests[0], donors[1]: requests[1], donors[2]: requests[1]}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=st.lists(st.tuples(st.integers(0, 1), st.sets(st.integers(0, 3)), st.booleans()), max_size=8))
def test_whatever_is_planned_no_donor_is_held_twice_and_a_plan_gets_all_or_nothing(donors, requests, plans):
    with transaction() as session:
        session.execute(delete(DonorHold))
    expected: dict[int, int] = {}
    for request, wanted, take_over in plans:
        others = {donor for donor, by in expected.items() if by != requests[request]}
        chosen = {donors[one] for one in wanted}
        if chosen & others and not take_over:
            with pytest.raises(IntegrityError):
                held(*chosen, by=requests[request])
            continue
        held(*chosen, by=requests[request], take_over=take_over)
        expected = {donor: by for donor, by in expected.items() if by != requests[request]}
        expected |= dict.fromkeys(chosen, requests[request])
        assert holds() == expected
