"""The blood service's SQL: rows in, columns out. Donors and their history are read in bulk, as numpy columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Float

from backend.domains.blood.geography import DISTRICT_CODE
from backend.domains.blood.matching import CRITICAL
from backend.domains.blood.records import GROUP_CODE, Answer, Component, Outcome, Sex
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donation, Donor, MatchPrediction
from backend.extensions import Table

FETCH = 50_000  # rows held as Python tuples at once

COMPONENT_CODE = {component.name.lower(): component.value for component in Component}
SEX_CODE = {sex.name.lower(): sex.value for sex in Sex}
ANSWER_CODE = {answer.name.lower(): answer.value for answer in Answer if answer is not Answer.NONE}
OUTCOME_CODE = {outcome.name.lower(): outcome.value for outcome in Outcome if outcome is not Outcome.PENDING}


class epoch(GenericFunction[float]):  # noqa: N801 - an SQL function
    """Seconds since 1970-01-01 UTC of a moment or a date."""

    type = Float()
    inherit_cache = True


@compiles(epoch, "postgresql")
def _epoch_postgresql(element: epoch, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)}) AS DOUBLE PRECISION)"


@compiles(epoch, "sqlite")
def _epoch_sqlite(element: epoch, compiler: SQLCompiler, **options: Any) -> str:
    # a Julian day in a double is good to 40 microseconds; rounded to the millisecond it is exact
    return f"ROUND((JULIANDAY({compiler.process(element.clauses, **options)}) - 2440587.5) * 86400.0, 3)"


@dataclass(frozen=True, slots=True)
class TableReader:
    """How one table is read as columns: names, dtypes and SQL expressions; the first column is the id."""

    table: type[Table]
    updated_at: InstrumentedAttribute[datetime]
    query: Select[*tuple[Any, ...]]
    dtype: list[tuple[str, DTypeLike]]

    def read(
        self, session: Session, *conditions: ColumnElement[bool], since: datetime | None = None
    ) -> NDArray[np.void]:
        """Return the rows that meet `conditions` and changed at or after `since` as one structured array (n,)."""
        query = self.query.where(*conditions)
        if since is not None:
            query = query.where(self.updated_at >= since)
        chunks = [np.empty(0, dtype=self.dtype), *self._chunks(session, query)]
        return np.concatenate(chunks)

    def latest(self, session: Session) -> datetime | None:
        """Return when the table last changed, None while it is empty; one look into an index."""
        return session.scalar(select(func.max(self.updated_at)))

    def _chunks(self, session: Session, query: Select[*tuple[Any, ...]]) -> Iterator[NDArray[np.void]]:
        result = session.connection().execution_options(stream_results=True).execute(query)
        for rows in result.partitions(FETCH):
            yield np.array([tuple(row) for row in rows], dtype=self.dtype)


def _code(column: InstrumentedAttribute[Any], codes: dict[str, int], *, otherwise: int) -> ColumnElement[int]:
    return case(codes, value=column, else_=otherwise)


DONORS = TableReader(
    table=Donor,
    updated_at=Donor.updated_at,
    query=select(
        Donor.id,
        Donor.latitude,
        Donor.longitude,
        _code(Donor.district, DISTRICT_CODE, otherwise=-1),
        _code(Donor.blood_group, GROUP_CODE, otherwise=-1),
        _code(Donor.sex, SEX_CODE, otherwise=Sex.UNKNOWN),
        epoch(Donor.born_on),
        Donor.weight_kg,
        Donor.hemoglobin_g_dl,
        epoch(Donor.registered_at),
        Donor.consented,
        epoch(Donor.deferred_until),
    ),
    dtype=[
        ("id", "i8"),
        ("latitude", "f8"),
        ("longitude", "f8"),
        ("district", "i1"),
        ("blood_group", "i1"),
        ("sex", "i1"),
        ("born_at", "f8"),
        ("weight_kg", "f4"),
        ("hemoglobin_g_dl", "f4"),
        ("registered_at", "f8"),
        ("consented", "?"),
        ("deferred_until", "f8"),
    ],
)

DONATIONS = TableReader(
    table=Donation,
    updated_at=Donation.updated_at,
    query=select(
        Donation.id, Donation.donor_id, epoch(Donation.at), _code(Donation.component, COMPONENT_CODE, otherwise=-1)
    ),
    dtype=[("id", "i8"), ("donor", "i8"), ("at", "f8"), ("component", "i1")],
)

CONTACTS = TableReader(
    table=ContactOutcome,
    updated_at=ContactOutcome.updated_at,
    query=select(
        ContactOutcome.id,
        ContactOutcome.donor_id,
        ContactOutcome.request_id,
        epoch(ContactOutcome.asked_at),
        ContactOutcome.distance_km,
        _code(ContactOutcome.answer, ANSWER_CODE, otherwise=Answer.NONE),
        epoch(ContactOutcome.answered_at),
        epoch(ContactOutcome.arrived_at),
        _code(ContactOutcome.outcome, OUTCOME_CODE, otherwise=Outcome.PENDING),
        epoch(ContactOutcome.ended_at),
        BloodRequest.urgency >= CRITICAL,
    ).join(BloodRequest, BloodRequest.id == ContactOutcome.request_id),
    dtype=[
        ("id", "i8"),
        ("donor", "i8"),
        ("request", "i8"),
        ("asked_at", "f8"),
        ("distance_km", "f4"),
        ("answer", "i1"),
        ("answered_at", "f8"),
        ("arrived_at", "f8"),
        ("outcome", "i1"),
        ("ended_at", "f8"),
        ("critical", "?"),
    ],
)

REQUESTS = TableReader(
    table=BloodRequest,
    updated_at=BloodRequest.updated_at,
    query=select(
        BloodRequest.id,
        epoch(BloodRequest.created_at),
        BloodRequest.latitude,
        BloodRequest.longitude,
        _code(BloodRequest.district, DISTRICT_CODE, otherwise=-1),
        _code(BloodRequest.blood_group, GROUP_CODE, otherwise=-1),
        _code(BloodRequest.component, COMPONENT_CODE, otherwise=-1),
        BloodRequest.units_required,
        BloodRequest.urgency,
        epoch(BloodRequest.needed_by),
        epoch(BloodRequest.cancelled_at),
    ),
    dtype=[
        ("id", "i8"),
        ("created_at", "f8"),
        ("latitude", "f8"),
        ("longitude", "f8"),
        ("district", "i1"),
        ("blood_group", "i1"),
        ("component", "i1"),
        ("units", "i2"),
        ("urgency", "i1"),
        ("needed_by", "f8"),
        ("cancelled_at", "f8"),
    ],
)


def find_request(session: Session, request_id: int) -> BloodRequest | None:
    """Return a stored request for blood."""
    return session.get(BloodRequest, request_id)


def registered_at(session: Session, donor_ids: list[int]) -> dict[int, datetime]:
    """Return when each of these donors was registered; who does not exist is left out."""
    found = session.execute(select(Donor.id, Donor.registered_at).where(Donor.id.in_(donor_ids)))
    return {row.id: row.registered_at for row in found}


def still_listed(session: Session, donor_ids: list[int]) -> set[int]:
    """Return which of these donors still exist and consent, as the database says now."""
    found = select(Donor.id).where(Donor.id.in_(donor_ids), Donor.consented)
    return set(session.scalars(found))


def saved_predictions(
    session: Session, *, request_id: int, before_id: int | None, limit: int
) -> list[tuple[MatchPrediction, str]]:
    """Return the saved predictions of a request with the donor's blood group, newest first."""
    query = (
        select(MatchPrediction, Donor.blood_group)
        .join(Donor, Donor.id == MatchPrediction.donor_id)
        .where(MatchPrediction.request_id == request_id)
        .order_by(MatchPrediction.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(MatchPrediction.id < before_id)
    return [(prediction, group) for prediction, group in session.execute(query)]
