"""The records that the blood service keeps for its users, and how what they send becomes rows."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.clock import utc_now
from backend.domains.blood.geography import DISTRICTS, TIME_ZONE, distance_km
from backend.domains.blood.resource_schemas import (
    BankFilters,
    BankRecord,
    DonationFilters,
    DonationRecord,
    DonorFilters,
    DonorRecord,
    NewBank,
    NewDonation,
    NewDonor,
    NewRequest,
    NewUnit,
    RequestFilters,
    RequestRecord,
    UnitFilters,
    UnitRecord,
)
from backend.domains.blood.shelf_lives import expires_at
from backend.domains.blood.tables import BloodBank, BloodRequest, BloodUnit, Donation, Donor
from backend.resources.declaration import Refused, Resource

YOUNGEST_DONOR = timedelta(days=16 * 365)
"""Nobody gives blood before; a donation that says so has the wrong donor or the wrong date."""

Values = dict[str, Any]


def _donors(_session: Session, rows: Sequence[NewDonor]) -> list[Values | Refused]:
    now = utc_now()
    return [
        row.model_dump()
        | {
            "district": row.district or _nearest_district(row.latitude, row.longitude),
            "registered_at": row.registered_at or now,
        }
        for row in rows
    ]


def _requests(session: Session, rows: Sequence[NewRequest]) -> list[Values | Refused]:
    now = utc_now()
    over = {row.external_id for row in rows if row.created_at is None and row.needed_by and row.needed_by <= now}
    # Of a stored one the moment it was created counts, so that a file can be imported again later.
    over -= set(session.scalars(select(BloodRequest.external_id).where(BloodRequest.external_id.in_(over))))
    return [
        Refused("needed_by", "must be later than created_at, which is now if it is not given")
        if row.external_id in over
        else row.model_dump() | {"created_at": row.created_at or now}
        for row in rows
    ]


def _donations(session: Session, rows: Sequence[NewDonation]) -> list[Values | Refused]:
    donors = _Owners(session, Donor, [(row.donor_id, row.donor_external_id) for row in rows], also=Donor.born_on)
    found: list[Values | Refused] = []
    for row in rows:
        owner = donors.of(row.donor_id, row.donor_external_id, field="donor")
        if isinstance(owner, Refused):
            found.append(owner)
        elif row.at.date() < owner[1] + YOUNGEST_DONOR:
            found.append(Refused("at", "the donor was a child then"))
        else:
            found.append(
                {"external_id": row.external_id, "donor_id": owner[0], "at": row.at, "component": row.component}
            )
    return found


def _banks(_session: Session, rows: Sequence[NewBank]) -> list[Values | Refused]:
    return [row.model_dump() for row in rows]


def _units(session: Session, rows: Sequence[NewUnit]) -> list[Values | Refused]:
    banks = _Owners(session, BloodBank, [(row.bank_id, row.bank_external_id) for row in rows], also=BloodBank.id)
    found: list[Values | Refused] = []
    for row in rows:
        owner = banks.of(row.bank_id, row.bank_external_id, field="bank")
        if isinstance(owner, Refused):
            found.append(owner)
            continue
        own = row.model_dump(exclude={"bank_id", "bank_external_id"})
        expiry = row.expires_at or expires_at(row.product, row.collected_at)
        found.append(own | {"bank_id": owner[0], "expires_at": expiry})
    return found


class _Owners:
    """What rows refer to, by our id or by the service's, looked up together."""

    def __init__(
        self,
        session: Session,
        table: type[Donor | BloodBank],
        wanted: Iterable[tuple[int | None, str | None]],
        *,
        also: InstrumentedAttribute[Any],
    ) -> None:
        pairs = list(wanted)
        ids = {own for own, _ in pairs if own is not None}
        names = {name for _, name in pairs if name is not None}
        query = select(table.id, table.external_id, also).where(table.id.in_(ids) | table.external_id.in_(names))
        rows = session.execute(query).all()
        self._by_id = {row[0]: (row[0], row[2]) for row in rows}
        self._by_name = {row[1]: (row[0], row[2]) for row in rows if row[1] is not None}

    def of(self, own: int | None, name: str | None, *, field: str) -> tuple[int, Any] | Refused:
        found = self._by_id.get(own) if own is not None else self._by_name.get(name or "")
        if found is not None:
            return found
        return Refused(f"{field}_id" if own is not None else f"{field}_external_id", f"there is no such {field}")


def _same_donations(session: Session, values: Sequence[Values]) -> list[int | None]:
    """Find donations that an outcome recorded: one donor gives once on a day."""
    donors = {one["donor_id"] for one in values}
    query = select(Donation.id, Donation.donor_id, Donation.at)
    rows = session.execute(query.where(Donation.donor_id.in_(donors), Donation.external_id.is_(None)))
    recorded = {(row.donor_id, _local_day(row.at)): row.id for row in rows}
    return [recorded.pop((one["donor_id"], _local_day(one["at"])), None) for one in values]


def _local_day(at: datetime) -> date:
    return at.astimezone(ZoneInfo(TIME_ZONE)).date()


def _nearest_district(latitude: float, longitude: float) -> str:
    centres = np.array([(district.latitude, district.longitude) for district in DISTRICTS])
    return DISTRICTS[int(np.argmin(distance_km(centres[:, 0], centres[:, 1], latitude, longitude)))].name


DONORS = Resource(
    name="donors", one="donor", table=Donor, new=NewDonor, view=DonorRecord, filters=DonorFilters, prepare=_donors
)
REQUESTS = Resource(
    name="requests",
    one="blood request",
    table=BloodRequest,
    new=NewRequest,
    view=RequestRecord,
    filters=RequestFilters,
    prepare=_requests,
)
DONATIONS = Resource(
    name="donations",
    one="donation",
    table=Donation,
    new=NewDonation,
    view=DonationRecord,
    filters=DonationFilters,
    prepare=_donations,
    fixed=("donor_id", "donor_external_id"),
    same=_same_donations,
)
BANKS = Resource(
    name="banks", one="bank", table=BloodBank, new=NewBank, view=BankRecord, filters=BankFilters, prepare=_banks
)
UNITS = Resource(
    name="units",
    one="unit",
    table=BloodUnit,
    new=NewUnit,
    view=UnitRecord,
    filters=UnitFilters,
    prepare=_units,
    fixed=("bank_external_id",),
)

RESOURCES = (DONORS, REQUESTS, DONATIONS, BANKS, UNITS)
