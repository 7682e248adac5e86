"""The SQL of drift: asks of late with all that was known of their donors, and reports read back."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.domains.blood.donor_pool import of_known_donors, records_of
from backend.domains.blood.features import Asks
from backend.domains.blood.history import History
from backend.domains.blood.queries import CONTACTS, DONATIONS, DONORS, REQUESTS
from backend.domains.blood.records import Contacts, Ints, Requests
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donation, Donor, DriftReport


@dataclass(frozen=True, slots=True)
class AsksMade:
    """Asks (n,) that were made, the history of their donors, and the requests (n,) they were for."""

    history: History
    asks: Asks
    request: Ints


def read_asks(session: Session, *, since: datetime, until: datetime) -> AsksMade:
    """Return the asks in [since, until); those of cancelled requests are left out, as in training."""
    inside = (
        ContactOutcome.asked_at >= since,
        ContactOutcome.asked_at < until,
        ContactOutcome.request_id == BloodRequest.id,
        BloodRequest.cancelled_at.is_(None),
    )
    # Uncorrelated: each is put into a query of a table that it reads itself.
    asked = select(ContactOutcome.donor_id).where(*inside).correlate(None)
    requested = select(ContactOutcome.request_id).where(*inside).correlate(None)
    donor_rows = np.sort(DONORS.read(session, Donor.id.in_(asked)), order="id")
    donors, donations, contacts = records_of(
        donor_rows,
        of_known_donors(DONATIONS.read(session, Donation.donor_id.in_(asked)), donor_rows["id"]),
        of_known_donors(CONTACTS.read(session, ContactOutcome.donor_id.in_(asked)), donor_rows["id"]),
    )
    rows = np.sort(REQUESTS.read(session, BloodRequest.id.in_(requested)), order="id")
    requests = Requests(**{name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()})
    made = (since.timestamp() <= contacts.asked_at) & (contacts.asked_at < until.timestamp())
    made &= np.isin(contacts.request, requests.id)
    chosen = replace(contacts, **{field.name: getattr(contacts, field.name)[made] for field in fields(Contacts)})
    return AsksMade(
        history=History.build(donors=donors, donations=donations, contacts=contacts),
        asks=Asks.of(chosen, donors=donors, requests=requests),
        request=chosen.request,
    )


def latest_report(session: Session, model: str | None) -> Sequence[DriftReport]:
    """Return the rows of the latest run, of one model or of all; none if there was no run."""
    of_model = () if model is None else (DriftReport.model == model,)
    newest = session.scalar(select(DriftReport).where(*of_model).order_by(DriftReport.at.desc()).limit(1))
    if newest is None:
        return ()
    found = select(DriftReport).where(DriftReport.job_id == newest.job_id, *of_model)
    return session.scalars(found.order_by(DriftReport.id)).all()
