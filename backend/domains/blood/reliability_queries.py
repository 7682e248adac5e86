"""The SQL of rescoring: ranges of donors, how their commitments ended, and the scores written back."""

from datetime import datetime
from typing import Any, NamedTuple, cast

import numpy as np
from sqlalchemy import Insert, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.domains.blood.history import COMMITMENTS
from backend.domains.blood.queries import OUTCOME_CODE, epoch
from backend.domains.blood.records import Codes, Floats, Ints
from backend.domains.blood.tables import ContactOutcome, Donor, DonorReliability

SCORE = cast("Table", DonorReliability.__table__)
COUNTED = tuple(outcome.name.lower() for outcome in COMMITMENTS)


class Ended(NamedTuple):
    """How accepted commitments ended, equally long columns (n,)."""

    donor_id: Ints
    outcome: Codes  # Outcome
    ended_at: Floats


def count_donors(session: Session) -> int:
    """Return how many donors there are."""
    return session.scalar(select(func.count()).select_from(Donor)) or 0


def donors_after(session: Session, donor_id: int, *, limit: int) -> Ints:
    """Return the next ids (at most `limit`) after `donor_id`, in order."""
    ids = session.scalars(select(Donor.id).where(Donor.id > donor_id).order_by(Donor.id).limit(limit))
    return np.array(ids.all(), dtype=np.int64)


def ended_commitments(session: Session, *, first: int, last: int, before: datetime) -> Ended:
    """Return the commitments of the donors `first` to `last` that were kept or broken before a moment."""
    rows = session.execute(
        select(ContactOutcome.donor_id, ContactOutcome.outcome, epoch(ContactOutcome.ended_at))
        .where(ContactOutcome.donor_id.between(first, last))
        .where(ContactOutcome.outcome.in_(COUNTED), ContactOutcome.ended_at < before)
    ).all()
    return Ended(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([OUTCOME_CODE[str(row[1])] for row in rows], dtype=np.int8),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def write_scores(session: Session, rows: list[dict[str, Any]]) -> None:
    """Write a score for each donor, in place of one that is not newer."""
    session.execute(_upsert(session.get_bind().dialect.name), rows)


def _upsert(dialect: str) -> Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(SCORE)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[SCORE.c.donor_id],
        set_={column.name: new[column.name] for column in SCORE.c if not column.primary_key},
        where=SCORE.c.as_of <= new.as_of,
    )
