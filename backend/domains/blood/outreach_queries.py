"""The SQL of outreach planning: who was asked, who is taken, and whom a plan holds."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.orm import Session

from backend.domains.blood.tables import ContactOutcome, DonorHold

COMMITTED = timedelta(days=7)
"""An acceptance without an outcome binds a donor for so long; then the outcome was not recorded."""


class Ask(NamedTuple):
    """One ask for a request."""

    donor_id: int
    asked_at: datetime
    distance_km: float | None
    answer: str | None
    answered_at: datetime | None
    outcome: str | None


def asks_of(session: Session, request_id: int) -> list[Ask]:
    """Return the asks for a request, by donor."""
    columns = (
        ContactOutcome.donor_id,
        ContactOutcome.asked_at,
        ContactOutcome.distance_km,
        ContactOutcome.answer,
        ContactOutcome.answered_at,
        ContactOutcome.outcome,
    )
    rows = session.execute(
        select(*columns).where(ContactOutcome.request_id == request_id).order_by(ContactOutcome.donor_id)
    )
    return [Ask(*row) for row in rows]


def committed_donors(session: Session, *, besides: int, now: datetime) -> set[int]:
    """Return the donors who accepted another request than `besides` and are not done with it."""
    query = select(ContactOutcome.donor_id).where(
        ContactOutcome.answer == "accepted",
        ContactOutcome.outcome.is_(None),
        ContactOutcome.request_id != besides,
        ContactOutcome.answered_at > now - COMMITTED,
    )
    return set(session.scalars(query))


def held_donors(session: Session, *, besides: int, now: datetime) -> set[int]:
    """Return the donors whom plans for other requests than `besides` hold."""
    query = select(DonorHold.donor_id).where(DonorHold.request_id != besides, DonorHold.until > now)
    return set(session.scalars(query))


def hold(
    session: Session, donor_ids: Sequence[int], *, request_id: int, until: datetime, now: datetime, take_over: bool
) -> None:
    """Hold donors for a request in place of those it held before.

    Raises:
        IntegrityError: another plan holds one of them, and `take_over` is not set.
    """
    over = or_(DonorHold.request_id == request_id, DonorHold.until <= now)
    if take_over:
        over = or_(over, DonorHold.donor_id.in_(donor_ids))
    session.execute(delete(DonorHold).where(over).execution_options(synchronize_session=False))
    if donor_ids:
        rows = [{"donor_id": donor, "request_id": request_id, "until": until} for donor in sorted(donor_ids)]
        session.execute(insert(DonorHold), rows)
