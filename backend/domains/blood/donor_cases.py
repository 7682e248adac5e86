"""Donors one asks about, stored or given in the request, as records of one shape: the features see no difference."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from backend.domains.blood.donor_pool import last_whole_blood, records_of
from backend.domains.blood.donor_schemas import REFERENCE_KM, DonorsRequest, InlineDonor, NotEligible
from backend.domains.blood.eligibility import Criterion, Eligibility, assess, facts_of
from backend.domains.blood.features import Asks
from backend.domains.blood.geography import TIME_ZONE, distance_km
from backend.domains.blood.history import History
from backend.domains.blood.horizons import hours_until_deadline
from backend.domains.blood.policies import DEFAULT_POLICY
from backend.domains.blood.queries import ANSWER_CODE, CONTACTS, DONATIONS, DONORS, OUTCOME_CODE, SEX_CODE
from backend.domains.blood.records import (
    BLOOD_GROUPS,
    GROUP_CODE,
    Answer,
    Component,
    Contacts,
    Donations,
    Donors,
    Floats,
    Outcome,
)
from backend.domains.blood.rules import can_donate
from backend.domains.blood.schemas import InlineRequest
from backend.domains.blood.tables import ContactOutcome, Donation, Donor
from backend.errors import NotFound

DEFERRAL_HOLDS_FOR = timedelta(days=1)  # a deferral on record is applied to moments up to this long ago
INCOMPATIBLE = "incompatible"

_Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Cases:
    """One case for each donor asked about, in the order asked; columns are (n,)."""

    at: datetime
    history: History
    asks: Asks
    decayed_asks: Floats
    horizon_hours: float
    standings: list[dict[str, Any]]  # the fields of DonorStanding


def read_cases(session: Session, request: DonorsRequest, *, now: datetime) -> Cases:
    """Read the stored donors, add those given, and look at all of them as of the moment asked about.

    Raises:
        NotFound: a stored donor is gone.
    """
    at = request.at or now
    ids = np.array([one if isinstance(one, int) else -1 - place for place, one in enumerate(request.subjects)])
    donors, donations, contacts = _records(session, request, at)
    row = np.searchsorted(donors.id, ids).astype(np.int32)
    found = donors.id[np.minimum(row, len(donors) - 1)] == ids if len(donors) else np.zeros(len(ids), dtype=np.bool_)
    if not found.all():
        raise NotFound("donor", ids[~found][0])
    history = History.build(donors=donors, donations=donations, contacts=contacts)
    asks = _asks(donors, row, request.request, at)
    position = history.asks.position(asks.donor, asks.as_of)
    earlier = history.asks.count(asks.donor, position).tolist()
    given_before = replace(donations, at=np.where(donations.at < at.timestamp(), donations.at, -np.inf))
    whole_at = last_whole_blood(given_before, len(donors))
    return Cases(
        at=at,
        history=history,
        asks=asks,
        decayed_asks=history.asks.sums(asks.donor, position, asks.as_of)[:, 0],
        horizon_hours=float(hours_until_deadline(urgency=asks.urgency, hours_until_needed=asks.hours_until_needed)[0]),
        standings=[
            {"place": place, "donor_id": donor_id if donor_id > 0 else None, "asks": earlier[place]}
            | _standing(
                donors, int(row[place]), last_whole_at=whole_at[row[place]], need=request.request, at=at, now=now
            )
            for place, donor_id in enumerate(ids.tolist())
        ],
    )


def _records(session: Session, request: DonorsRequest, at: datetime) -> tuple[Donors, Donations, Contacts]:
    """Return the donors asked about with their events; one given in the request at `place` has the id -1 - `place`."""
    stored = [one for one in request.subjects if isinstance(one, int)]
    tables = [
        (
            DONORS.read(session, Donor.id.in_(stored)),
            DONATIONS.read(session, Donation.donor_id.in_(stored)),
            CONTACTS.read(session, ContactOutcome.donor_id.in_(stored)),
        ),
        *(_given(one, -1 - place, at) for place, one in enumerate(request.subjects) if isinstance(one, InlineDonor)),
    ]
    donor_rows, donation_rows, contact_rows = (np.concatenate(parts) for parts in zip(*tables, strict=True))
    return records_of(np.sort(donor_rows, order="id"), donation_rows, contact_rows)


def _given(donor: InlineDonor, donor_id: int, at: datetime) -> tuple[_Rows, _Rows, _Rows]:
    """Return the rows that the tables would hold of a donor given in the request."""
    events = [donation.at for donation in donor.donations] + [ask.asked_at for ask in donor.asks]
    registered_at = donor.registered_at or min([*events, at])
    person = (
        *(donor_id, donor.latitude, donor.longitude, -1, GROUP_CODE[donor.blood_group], SEX_CODE[donor.sex]),
        donor.born_at.timestamp(),
        *(_or_nan(donor.weight_kg), _or_nan(donor.hemoglobin_g_dl)),
        *(registered_at.timestamp(), donor.consented, _seconds(donor.deferred_until)),
    )
    donations = [(0, donor_id, one.at.timestamp(), Component[one.component.upper()]) for one in donor.donations]
    asks = [
        (
            *(0, donor_id, 0, ask.asked_at.timestamp(), np.nan),
            *(ANSWER_CODE[ask.answer] if ask.answer else Answer.NONE, _seconds(ask.answered_at), np.nan),
            *(OUTCOME_CODE[ask.outcome] if ask.outcome else Outcome.PENDING, _seconds(ask.ended_at), False),
        )
        for ask in donor.asks
    ]
    return (
        np.array([person], dtype=DONORS.dtype),
        np.array(donations, dtype=DONATIONS.dtype),
        np.array(asks, dtype=CONTACTS.dtype),
    )


def _asks(donors: Donors, row: NDArray[np.int32], need: InlineRequest | None, at: datetime) -> Asks:
    """Return the occasion asked about, the reference one without a request."""
    count = len(row)
    stated = np.nan if need is None or need.needed_by is None else (need.needed_by - at).total_seconds() / 3600.0
    return Asks(
        donor=row,
        as_of=np.full(count, at.timestamp()),
        distance_km=np.full(count, REFERENCE_KM)
        if need is None
        else distance_km(donors.latitude[row], donors.longitude[row], need.latitude, need.longitude),
        urgency=np.full(count, 2.0 if need is None else float(need.urgency)),
        units=np.full(count, 1.0 if need is None else float(need.units_required)),
        hours_until_needed=np.full(count, stated),
        group_match=np.ones(count)
        if need is None
        else (donors.blood_group[row] == GROUP_CODE[need.blood_group]).astype(np.float64),
    )


def _standing(
    donors: Donors, row: int, *, last_whole_at: float, need: InlineRequest | None, at: datetime, now: datetime
) -> dict[str, Any]:
    """Say whether a donor may be asked; a deferral, whose beginning is not on record, binds no moment long past."""
    component = Component.RED_CELLS if need is None else Component[need.component.upper()]
    facts = facts_of(donors, row, last_whole_blood_at=last_whole_at)
    unchecked: tuple[str, ...] = ()
    day = at.astimezone(ZoneInfo(TIME_ZONE)).date()
    if now - at > DEFERRAL_HOLDS_FOR and facts.deferred_until is not None and facts.deferred_until > day:
        facts, unchecked = replace(facts, deferred_until=None), (Criterion.DEFERRAL,)
    found: Eligibility = assess(DEFAULT_POLICY, facts, as_of=day, component=component)
    reasons = [NotEligible(code=r.code, text=r.text, ends_on=r.ends_on) for r in found.reasons]
    fits = need is None or can_donate(int(donors.blood_group[row]), GROUP_CODE[need.blood_group], component)
    if need is not None and not fits:
        text = f"{BLOOD_GROUPS[donors.blood_group[row]]} may not be given to {need.blood_group}"
        reasons.append(NotEligible(code=INCOMPATIBLE, text=text, ends_on=None))
    return {
        "eligible": not reasons,
        "eligible_on": found.eligible_on if fits else None,
        "not_eligible": reasons,
        "unchecked": [str(code) for code in (*found.unchecked, *unchecked)],
    }


def _seconds(moment: datetime | None) -> float:
    return np.nan if moment is None else moment.timestamp()


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
