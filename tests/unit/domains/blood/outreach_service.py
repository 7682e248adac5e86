"""Requests to plan for, at noon in Kerala, and what their plans say."""

from datetime import timedelta

from sqlalchemy import select

from backend.clock import utc_now
from backend.domains.blood.domain import DOMAIN
from backend.domains.blood.outreach_queries import hold
from backend.domains.blood.outreach_schemas import PlanResult
from backend.domains.blood.tables import BloodRequest, ContactOutcome, DonorHold
from backend.extensions import transaction
from tests.unit.domains.blood.outcome_cases import store

KIND = next(kind for kind in DOMAIN.job_kinds if kind.name == "blood.plan_outreach")
NOON = (utc_now() + timedelta(days=1)).replace(hour=6, minute=30, second=0, microsecond=0)
NIGHT = NOON + timedelta(hours=12)
KOCHI = {"district": "Ernakulam", "latitude": 9.97, "longitude": 76.28}
HOUR = timedelta(hours=1)


def a_request(*, urgency=2, hours=36, **changes) -> int:
    values = {"blood_group": "B+", "component": "red_cells", "units_required": 2, "urgency": urgency, **KOCHI}
    times = {"created_at": NOON - HOUR, "needed_by": NOON + hours * HOUR}
    return store(BloodRequest(**(values | times | changes)))


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
