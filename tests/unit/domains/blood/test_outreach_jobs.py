"""Planning whom to ask, on a simulated service, with the committed models; it is noon in Kerala."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from backend.domains.blood import outreach_jobs
from backend.domains.blood.outreach_jobs import HOLD, check_plan, deadline_of
from backend.domains.blood.outreach_schemas import PlanRequest
from backend.domains.blood.tables import BloodRequest, BloodUnit, Donor
from backend.errors import NotFound, NotServed, ValidationFailed
from backend.extensions import transaction
from tests.unit.batches.file_service import FileService
from tests.unit.domains.blood.outreach_service import HOUR, KIND, NIGHT, NOON, a_request, due, everybody, holds
from tests.unit.domains.blood.stock_service import add_bank, add_units


def test_the_donors_of_the_first_wave_are_asked_at_once_and_held(plan):
    request = a_request()
    result = plan(request)
    assert result.reason is None
    assert [wave.number for wave in result.waves] == list(range(1, len(result.waves) + 1))
    assert (result.waves[0].send, result.waves[0].at) == (True, NOON)
    assert not any(wave.send for wave in result.waves[1:])
    assert holds() == dict.fromkeys(due(result), request)
    assert result.held_until == max(result.look_again_at, NOON + HOLD)
    assert len(set(everybody(result))) == len(everybody(result)), "nobody is asked twice"
    assert {donor.blood_group for wave in result.waves for donor in wave.donors} <= {"B+", "B-", "O+", "O-"}
    chances = [wave.probability for wave in result.waves]
    assert chances == sorted(chances)
    assert set(result.models) == {"donor_availability", "donor_seeker_match", "donor_response_time"}


def test_a_preview_holds_nobody_and_lets_go_of_nobody(plan):
    request = a_request()
    preview = plan(request, hold=False)
    assert (holds(), preview.held_until) == ({}, None)
    result = plan(request)
    assert (due(result), result.waves) == (due(preview), preview.waves)
    before = holds()
    plan(request, hold=False)
    assert holds() == before


def test_planning_again_with_nothing_new_plans_the_same(plan):
    request = a_request()
    first = plan(request)
    assert plan(request) == first
    assert holds() == dict.fromkeys(due(first), request)


@pytest.mark.parametrize(
    ("urgency", "group", "units", "counted"),
    [
        (1, "B+", 2, 2),
        (2, "B+", 1, 1),
        (1, "O-", 2, 0),
        (2, "B-", 5, 0),
        (3, "O-", 2, 2),
        (4, "B-", 1, 1),
        (4, "A+", 9, 0),
        (4, "AB+", 9, 0),
    ],
)
def test_stock_comes_first_and_substitutes_only_from_urgency_three(plan, urgency, group, units, counted):
    add_units(add_bank(latitude=9.98, longitude=76.3), units, blood_group=group, now=NOON)
    result = plan(a_request(urgency=urgency))
    assert result.stock.usable_units == counted
    assert result.units_wanted == 2 - counted
    assert (result.reason == "stock_covers") == (counted == 2)
    if counted == 2:
        assert (result.waves, result.probability, result.escalate, result.held_until) == ([], 1.0, False, None)
    else:
        assert due(result)
        shown = [line.units for line in result.stock.lines if line.blood_group == group]
        assert shown == ([units] if group in {"B+", "B-", "O+", "O-"} else [])


@pytest.mark.parametrize("change", [{"state": "reserved"}, {"expires_at": NOON - HOUR}, {"product": "platelets"}])
def test_units_that_are_not_to_be_had_do_not_count(plan, change):
    add_units(add_bank(latitude=9.98, longitude=76.3), 5, blood_group="B+", now=NOON)
    with transaction() as session:
        session.execute(update(BloodUnit).values(change))
    assert plan(a_request()).stock.usable_units == 0


def test_a_request_that_the_stock_covers_lets_go_of_its_donors(plan):
    request = a_request()
    assert due(plan(request))
    add_units(add_bank(latitude=9.98, longitude=76.3), 2, blood_group="B+", now=NOON)
    assert plan(request).reason == "stock_covers"
    assert holds() == {}


def test_at_night_nobody_is_alerted_for_what_is_not_critical(plan):
    result = plan(a_request(urgency=2, hours=60), at=NIGHT)
    assert (result.reason, due(result), result.held_until, holds()) == ("quiet_hours", [], None, {})
    assert result.look_again_at == NIGHT.replace(hour=1, minute=30) + timedelta(days=1)
    assert due(plan(a_request(urgency=4, hours=20, units_required=1), at=NIGHT))


def test_what_donors_alone_cannot_give_is_to_be_escalated(plan):
    hopeless = plan(a_request(units_required=20, urgency=4, hours=5))
    assert hopeless.escalate
    assert hopeless.reachable < hopeless.target
    nowhere = plan(a_request(latitude=20.0, longitude=70.0))
    assert (nowhere.reason, nowhere.waves, nowhere.escalate) == ("nobody_left", [], True)
    late = plan(a_request(hours=0.2))
    assert (late.reason, late.escalate, late.look_again_at) == ("too_late", True, None)


def test_nobody_is_named_in_a_plan(plan):
    with transaction() as session:
        session.execute(update(Donor).values(name="Asha Menon", phone="+91 98470 12345"))
    text = plan(a_request()).model_dump_json()
    assert "donor_id" in text
    assert not [word for word in ("Asha", "Menon", "98470", "12345", "name", "phone") if word in text]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cancelled_at": NOON - 48 * HOUR}, NotFound),
        ({"created_at": NOON - 480 * HOUR, "needed_by": NOON - 240 * HOUR}, ValidationFailed),
        ({"created_at": NOON - 480 * HOUR, "needed_by": None}, ValidationFailed),
    ],
)
def test_a_request_that_is_called_off_or_over_is_not_planned_for(outreach, change, error):
    with pytest.raises(error):
        check_plan(PlanRequest(request_id=a_request(**change)))


def test_a_request_that_never_was_is_not_planned_for(outreach: FileService):
    assert outreach.client.post("/api/ml/requests/999999/plan").status_code == 404
    with pytest.raises(NotFound):
        check_plan(PlanRequest(request_id=999_999))


def test_a_request_called_off_after_its_plan_was_asked_for_holds_nobody(plan, monkeypatch):
    request = a_request()
    monkeypatch.setattr(outreach_jobs, "find_request", lambda _session, _id: None)
    object.__setattr__(KIND, "checks", ())
    try:
        with pytest.raises(NotFound, match="no open blood request"):
            plan(request)
    finally:
        object.__setattr__(KIND, "checks", (check_plan,))
    assert holds() == {}


@pytest.mark.parametrize(("urgency", "hours"), [(1, 96), (2, 48), (3, 24), (4, 12)])
def test_without_a_stated_time_the_urgencys_horizon_is_the_deadline(urgency, hours):
    made = BloodRequest(urgency=urgency, created_at=NOON, needed_by=None)
    assert deadline_of(made) == NOON + hours * HOUR
    assert deadline_of(BloodRequest(urgency=urgency, created_at=NOON, needed_by=NIGHT)) == NIGHT


def test_a_service_without_donors_cannot_plan(plan):
    request = a_request()
    with transaction() as session:
        session.execute(delete(Donor))
    with pytest.raises(NotServed, match="no donors"):
        plan(request)
