"""A small blood service for the tests of its stock: banks, units, requests and a forecast, as rows."""

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

from backend.domains.blood.demand import ALL, GROUP_NAMES
from backend.domains.blood.tables import BloodBank, BloodRequest, BloodUnit, DemandForecast
from backend.extensions import transaction
from backend.jobs.tables import Job

MIDNIGHT = datetime(2026, 3, 3, 18, 30, tzinfo=UTC)  # the 4th begins in Kochi
NOON = MIDNIGHT + timedelta(hours=12)
_numbers = count(1)


def add_bank(*, district="Ernakulam", latitude=10.0, longitude=76.3, name="General Hospital") -> int:
    bank = BloodBank(
        external_id=f"bank-{next(_numbers)}", name=name, district=district, latitude=latitude, longitude=longitude
    )
    with transaction() as session:
        session.add(bank)
        session.flush()
        return bank.id


def add_units(
    bank_id: int,
    units: int = 1,
    *,
    days: float = 20.0,
    blood_group="O+",
    product="red_cells_additive",
    state="available",
    now: datetime = NOON,
) -> None:
    """Units that expire so many days from now."""
    with transaction() as session:
        session.add_all(
            BloodUnit(
                external_id=f"unit-{next(_numbers)}",
                bank_id=bank_id,
                blood_group=blood_group,
                product=product,
                collected_at=now - timedelta(days=3),
                expires_at=now + timedelta(days=days),
                state=state,
            )
            for _ in range(units)
        )


def add_requests(units: int, *, component="red_cells", days_ago: float = 1.0) -> None:
    with transaction() as session:
        session.add(
            BloodRequest(
                district="Ernakulam",
                latitude=10.0,
                longitude=76.3,
                blood_group="O+",
                component=component,
                units_required=units,
                urgency=2,
                created_at=NOON - timedelta(days=days_ago),
            )
        )


def add_forecast(daily: float, *, high: float | None = None, days: int = 30, made_at: datetime = MIDNIGHT) -> None:
    """A forecast of the same red-cell units a day in two districts for every group."""
    job_id, high = uuid4(), daily if high is None else high
    columns = {"kind": "a", "queue": "batch", "request": {}, "max_attempts": 1}
    first = (made_at + timedelta(hours=5.5)).date()
    with transaction() as session:
        session.add(Job(id=job_id, created_at=made_at, available_at=made_at, **columns))
        session.flush()
        session.add_all(
            DemandForecast(
                job_id=job_id,
                made_at=made_at,
                district=district,
                blood_group=group,
                day=first + timedelta(days=day),
                units=daily * (1 if ALL not in {district, group} else 1000),
                low_80=0.0,
                low_95=0.0,
                high_80=high,
                high_95=2 * high,
                model="m",
            )
            for district in ("Ernakulam", "Wayanad", ALL)
            for group in (*GROUP_NAMES, ALL)
            for day in range(days)
        )
