"""Planning whom to ask, on a simulated service, with the committed models; it is noon in Kerala."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from backend.domains.blood import outreach_jobs
from backend.domains.blood.domain import DOMAIN
from backend.domains.blood.donor_pool import DonorPool
from backend.domains.blood.outreach_jobs import HOLD, check_plan, deadline_of, plan_outreach
from backend.domains.blood.outreach_queries import COMMITTED, hold
from backend.domains.blood.outreach_schemas import PlanRequest, PlanResult
from backend.domains.blood.tables import BloodRequest, BloodUnit, ContactOutcome, Donation, Donor, DonorHold
from backend.errors import NotFound, NotServed, ValidationFailed
from backend.extensions import transaction
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.jobs.claim import claim
from backend.jobs.clock import utc_now
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.execute import execute
from backend.jobs.reconcile import reconcile
from backend.jobs.submit import submit
from backend.settings import PROJECT
from tests.unit.batches.file_service import FileService
from tests.unit.domains.blood.outcome_cases import a_donor, store
from tests.unit.domains.blood.stock_service import add_bank, add_units

KIND = next(kind for kind in DOMAIN.job_kinds if kind.name == "blood.plan_outreach")
NOON = (utc_now() + timedelta(days=1)).replace(hour=6, minute=30, second=0, microsecond=0)
NIGHT = NOON + timedelta(hours=12)
KOCHI = {"district": "Ernakulam", "latitude": 9.97, "longitude": 76.28}
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def models() -> ModelClient:
    return ModelClient(Catalogue(PROJECT / "models_artifacts"))


@pytest.fixture
def service(seeded_app: Flask, models, monkeypatch) -> FileService:
    monkeypatch.setattr(outreach_jobs, "POOL", DonorPool())
    seeded_app.extensions["models"] = models
    with transaction() as session:  # no stock, and nobody is bound by what the simulation left open
        session.execute(delete(BloodUnit))
        session.execute(update(ContactOutcome).where(ContactOutcome.outcome.is_(None)).values(outcome="late_cancel"))
    return FileService(seeded_app)


def a_request(*, urgency=2, hours=36, **changes) -> int:
    values = {"blood_group": "B+", "component": "red_cells", "units_required": 2, "urgency": urgency, **KOCHI}
    times = {"created_at": NOON - HOUR, "needed_by": NOON + hours * HOUR}
    return store(BloodRequest(**(values | times | changes)))


@pytest.fixture
def plan(service: FileService, models) -> Callable[..., PlanResult]:
    """Plans for a request at noon, or at another moment."""

    def planned(request_id: int, *, at=NOON, hold=True) -> PlanResult:
        request = PlanRequest(request_id=request_id, hold=hold)
        job = submit(KIND, request)
        (held,) = claim(KIND, job.id, worker="w", lease=timedelta(seconds=30))
        recording = RecordingModels(models)
        context = JobContext(job_id=held.job_id, attempt=held.attempt, models=recording, clock=lambda: at)
        return plan_outreach(request, context)

    return planned


def due(result: PlanResult) -> list[int]:
    return [donor.donor_id for wave in result.waves if wave.send for donor in wave.donors]


def everybody(result: PlanResult) -> list[int]:
    return [donor.donor_id for wave in result.waves for donor in wave.donors]


def holds() -> dict[int, int]:
    with transaction(read_only=True) as session:
        return dict(session.execute(select(DonorHold.donor_id, DonorHold.request_id)).all())


def held(donors, *, by: int, until=NOON + HOUR):
    with transaction() as session:
        hold(session, donors, request_id=by, until=until, now=NOON, take_over=True)


def asked(donors, request_id, *, at, **columns):
    with transaction() as session:
        session.add_all(
            ContactOutcome(donor_id=one, request_id=request_id, asked_at=at, distance_km=5.0, **columns)
            for one in donors
        )


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


def test_who_was_asked_before_is_in_no_wave_whatever_the_answer(plan):
    request = a_request(units_required=4)
    first = due(plan(request))
    assert len(first) >= 4
    asked(first[:1], request, at=NOON, answer="accepted", answered_at=NOON + HOUR / 2)
    asked(first[1:2], request, at=NOON, answer="declined", answered_at=NOON + HOUR / 2)
    asked(first[2:3], request, at=NOON, answer="accepted", answered_at=NOON + HOUR / 4, outcome="late_cancel")
    asked(first[3:], request, at=NOON)
    result = plan(request, at=NOON + HOUR)
    so_far = result.asked
    assert (so_far.asked, so_far.accepted, so_far.declined, so_far.out) == (len(first), 1, 1, 1)
    assert so_far.silent == len(first) - 3
    assert not set(first) & set(everybody(result))
    assert 0.0 < result.probability < 1.0


def test_a_donation_counts_for_the_request_it_was_made_for(plan):
    request = a_request(units_required=1)
    first = due(plan(request))
    asked(first[:1], request, at=NOON, answer="accepted", answered_at=NOON, outcome="donated", ended_at=NOON + HOUR)
    result = plan(request, at=NOON + 2 * HOUR)
    assert (result.asked.donated, result.reason, result.probability) == (1, "enough_likely", 1.0)
    assert (result.waves, holds()) == ([], {})


def test_donors_whom_another_plan_holds_are_left_out_until_it_lets_go(plan):
    mine, other = a_request(), a_request()
    wanted = due(plan(other))
    result = plan(mine)
    assert due(result)
    assert not set(wanted) & set(everybody(result))
    assert set(holds().values()) == {mine, other}
    held([], by=other)
    assert set(wanted) & set(everybody(plan(mine)))


def test_a_critical_request_takes_held_donors_over_and_never_committed_ones(plan):
    critical, other = a_request(urgency=4, hours=10, units_required=1), a_request()
    best = due(plan(critical, hold=False))
    assert len(best) >= 2
    asked(best[:1], other, at=NOON - HOUR, answer="accepted", answered_at=NOON - HOUR / 2)
    held(best, by=other)
    result = plan(critical)
    assert best[0] not in everybody(result)
    assert best[1] in due(result)
    assert holds()[best[1]] == critical
    assert holds()[best[0]] == other


@pytest.mark.parametrize("urgency", [1, 4])
def test_who_accepted_another_request_is_left_out_until_it_is_done_or_forgotten(plan, urgency):
    request, other = a_request(urgency=urgency, hours=20), a_request(urgency=4)
    first = due(plan(request, hold=False))
    accepted_at = NOON - COMMITTED + HOUR
    asked(first, other, at=accepted_at - HOUR, answer="accepted", answered_at=accepted_at)
    assert not set(first) & set(everybody(plan(request, hold=False)))
    after = plan(request, hold=False, at=NOON + 2 * HOUR)
    assert set(first) & set(everybody(after)), "asks for critical requests start no cool-down"


def test_who_was_asked_lately_rests_unless_it_is_critical(plan):
    other = a_request(urgency=2)
    routine, critical = a_request(urgency=2), a_request(urgency=4, hours=10, units_required=1)
    first, urgent = due(plan(routine, hold=False)), due(plan(critical, hold=False))
    asked(set(first) | set(urgent), other, at=NOON - 24 * HOUR, answer="declined", answered_at=NOON - 23 * HOUR)
    assert not set(first) & set(everybody(plan(routine, hold=False)))
    assert set(urgent) & set(everybody(plan(critical, hold=False)))


def test_who_withdrew_or_gave_lately_is_in_no_wave(plan):
    request = a_request()
    first = due(plan(request, hold=False))
    with transaction() as session:
        session.execute(update(Donor).where(Donor.id == first[0]).values(consented=False))
        session.add(Donation(donor_id=first[1], at=NOON - 72 * HOUR, component="red_cells"))
    assert not set(first[:2]) & set(everybody(plan(request, hold=False)))


def test_a_donor_taken_at_the_same_moment_costs_an_attempt_and_the_next_plans_without(
    service: FileService, plan, monkeypatch
):
    monkeypatch.setattr("backend.jobs.finish.backoff", lambda _attempt: timedelta(0))
    monkeypatch.setattr(outreach_jobs.JobContext, "__init__", _at_noon(JobContext.__init__))
    request, other = a_request(), a_request()
    wanted = due(plan(request, hold=False))
    look, looks = outreach_jobs.held_donors, []

    def taken_right_after(session, **options):
        found = look(session, **options)
        looks.append(found)
        return found if len(looks) > 1 else set()

    held(wanted, by=other)
    monkeypatch.setattr(outreach_jobs, "held_donors", taken_right_after)
    service.doorbell.rings.clear()
    accepted = service.client.post(f"/api/ml/requests/{request}/plan")
    execute(KIND, service.doorbell.rings.pop()[2], service.worker)
    job = service.client.get(accepted.headers["Location"]).json
    assert (job["state"], job["error"]["code"]) == ("queued", IntegrityError.__name__)
    assert set(holds()) == set(wanted), "nothing of the attempt was stored"
    reconcile(service.doorbell, patience=timedelta(0))
    service.run()
    job = service.client.get(accepted.headers["Location"]).json
    assert (job["state"], job["attempt"], len(looks)) == ("succeeded", 2, 2)
    result = PlanResult.model_validate(job["result"])
    assert due(result)
    assert not set(wanted) & set(everybody(result))


def _at_noon(begin):
    def at_noon(self, **options):
        begin(self, **{"clock": lambda: NOON} | options)

    return at_noon


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
    late = plan(a_request(hours=1))
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
def test_a_request_that_is_called_off_or_over_is_not_planned_for(service, change, error):
    with pytest.raises(error):
        check_plan(PlanRequest(request_id=a_request(**change)))


def test_a_request_that_never_was_is_not_planned_for(service: FileService):
    assert service.client.post("/api/ml/requests/999999/plan").status_code == 404
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


def test_a_donor_who_registered_a_moment_ago_can_be_asked(plan):
    request = a_request()
    plan(request, hold=False)
    near = {"latitude": KOCHI["latitude"], "longitude": KOCHI["longitude"], "district": "Ernakulam"}
    with transaction() as session:
        session.execute(delete(Donor))
    donor = store(a_donor(**near, name=f"n{uuid4()}"))
    assert everybody(plan(request, hold=False)) in ([donor], [])
