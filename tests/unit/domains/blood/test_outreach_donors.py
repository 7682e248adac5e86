"""Who is in a plan's waves and who is left out, on a simulated service; it is noon in Kerala."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from backend.domains.blood import outreach_jobs
from backend.domains.blood.outreach_queries import COMMITTED
from backend.domains.blood.outreach_schemas import PlanResult
from backend.domains.blood.tables import Donation, Donor
from backend.extensions import transaction
from backend.jobs.context import JobContext
from backend.jobs.execute import execute
from backend.jobs.reconcile import reconcile
from tests.unit.batches.file_service import FileService
from tests.unit.domains.blood.outreach_service import HOUR, KIND, NOON, a_request, asked, due, everybody, held, holds


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
    wanted = due(plan(mine, hold=False))[:2]
    held(wanted, by=other)
    result = plan(mine)
    assert due(result)
    assert not set(wanted) & set(everybody(result))
    assert set(holds().values()) == {mine, other}
    held([], by=other)
    assert set(wanted) <= set(everybody(plan(mine)))


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


def test_a_donor_who_was_deleted_is_in_no_wave_and_in_nobodys_way(plan):
    request = a_request()
    first = due(plan(request, hold=False))
    with transaction() as session:
        session.execute(delete(Donor).where(Donor.id.in_(first[:2])))
    result = plan(request)
    assert due(result)
    assert not set(first[:2]) & set(everybody(result))


def test_a_donor_taken_at_the_same_moment_costs_an_attempt_and_the_next_plans_without(
    outreach: FileService, plan, monkeypatch
):
    monkeypatch.setattr("backend.jobs.finish.pause_after", lambda *_: timedelta(0))
    monkeypatch.setattr(outreach_jobs.JobContext, "__init__", _at_noon(JobContext.__init__))
    request, other = a_request(), a_request()
    wanted = due(plan(request, hold=False))[:2]
    look, looks = outreach_jobs.held_donors, []

    def taken_right_after(session, **options):
        found = look(session, **options)
        looks.append(found)
        return found if len(looks) > 1 else set()

    held(wanted, by=other)
    monkeypatch.setattr(outreach_jobs, "held_donors", taken_right_after)
    outreach.doorbell.rings.clear()
    accepted = outreach.client.post(f"/api/ml/requests/{request}/plan")
    execute(KIND, outreach.doorbell.rings.pop()[2], outreach.worker)
    job = outreach.client.get(accepted.headers["Location"]).json
    assert (job["state"], job["error"]["code"]) == ("queued", IntegrityError.__name__)
    assert set(holds()) == set(wanted), "nothing of the attempt was stored"
    reconcile(outreach.doorbell, patience=timedelta(0))
    outreach.run()
    job = outreach.client.get(accepted.headers["Location"]).json
    assert (job["state"], job["attempt"], len(looks)) == ("succeeded", 2, 2)
    result = PlanResult.model_validate(job["result"])
    assert due(result)
    assert not set(wanted) & set(everybody(result))


def _at_noon(begin):
    def at_noon(self, **options):
        begin(self, **{"clock": lambda: NOON} | options)

    return at_noon
