"""The SQL of recording what donors did: a few statements for any number of events."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Executable,
    Table,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.domains.blood.geography import TIME_ZONE
from backend.domains.blood.outcome_schemas import Name
from backend.domains.blood.outcomes import Ask
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donation, Donor, DonorHold
from backend.extensions import UtcDateTime

DONOR = cast("Table", Donor.__table__)
ASK = cast("Table", ContactOutcome.__table__)
KEY = ("request_id", "donor_id")
BATCH = 2_000  # keys of one statement: SQLite takes 32,766 parameters

AskKey = tuple[int, int]
"""A request's id and a donor's."""


class AskedDonor(NamedTuple):
    """What recording needs to know of a donor."""

    id: int
    external_id: str | None
    latitude: float
    longitude: float


class AskingRequest(NamedTuple):
    """What recording needs to know of a request for blood."""

    id: int
    external_id: str | None
    latitude: float
    longitude: float
    component: str
    created_at: datetime
    cancelled_at: datetime | None


Found = TypeVar("Found", AskedDonor, AskingRequest)
Value = TypeVar("Value")


def lock_donors(session: Session, names: Collection[Name]) -> dict[Name, AskedDonor]:
    """Return donors by the names used for them, locked until the end of the transaction.

    Two that record about the same donor take turns: the second sees the ask, the answer and the donation of the
    first. The locks are taken in the order of ids, so that two never wait for each other.
    """
    query = select(*(getattr(Donor, name) for name in AskedDonor._fields)).where(_named(Donor, names))
    found = session.execute(query.order_by(Donor.id).with_for_update(key_share=True))
    return _by_name(AskedDonor(*row) for row in found)


def hold_requests(session: Session, names: Collection[Name]) -> dict[Name, AskingRequest]:
    """Return requests by the names used for them; until the end of the transaction nobody deletes them."""
    query = select(*(getattr(BloodRequest, name) for name in AskingRequest._fields)).where(_named(BloodRequest, names))
    found = session.execute(query.order_by(BloodRequest.id).with_for_update(read=True, key_share=True))
    return _by_name(AskingRequest(*row) for row in found)


def _named(table: type[Donor | BloodRequest], names: Collection[Name]) -> ColumnElement[bool]:
    ids = [name for name in names if isinstance(name, int)]
    external_ids = [name for name in names if isinstance(name, str)]
    return or_(table.id.in_(ids), table.external_id.in_(external_ids))


def _by_name(found: Iterable[Found]) -> dict[Name, Found]:
    return {name: one for one in found for name in (one.id, one.external_id) if name is not None}


def read_asks(session: Session, keys: Collection[AskKey]) -> dict[AskKey, Ask]:
    """Return what is on record of these asks."""
    pair = tuple_(ContactOutcome.request_id, ContactOutcome.donor_id)
    return {
        (row["request_id"], row["donor_id"]): Ask(**{name: row[name] for name in _STEPS})
        for some in _batches(keys)
        for row in session.execute(select(ASK).where(pair.in_(some))).mappings()
    }


_STEPS = tuple(column.name for column in ASK.c if column.name in Ask.__dataclass_fields__)


def write_asks(session: Session, asks: Mapping[AskKey, Ask]) -> None:
    """Write asks, each in place of what was on record of it."""
    rows = [
        {"request_id": request_id, "donor_id": donor_id} | {name: getattr(ask, name) for name in _STEPS}
        for (request_id, donor_id), ask in asks.items()
    ]
    if rows:
        session.execute(_upsert(session.get_bind().dialect.name), rows)


def _upsert(dialect: str) -> Executable:
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(ASK)
    updated = statement.on_conflict_do_update(
        index_elements=[ASK.c[name] for name in KEY],
        set_={name: statement.excluded[name] for name in (*_STEPS, "updated_at")},
    )
    # Only with RETURNING many rows go in one such INSERT; without it psycopg would use a pipeline.
    return updated.returning(ASK.c.id)


def release_holds(session: Session, keys: Collection[AskKey]) -> None:
    """Forget that these donors were about to be asked for these requests."""
    pair = tuple_(DonorHold.request_id, DonorHold.donor_id)
    for some in _batches(keys):
        session.execute(delete(DonorHold).where(pair.in_(some)))


def defer_donors(session: Session, until: Mapping[int, datetime]) -> None:
    """Set until when donors, by id, are not asked; an earlier end never takes the place of a later one."""
    for some in _batches(until.items()):
        donors = [donor_id for donor_id, _ in some]
        ends = case({donor_id: literal(end, UtcDateTime) for donor_id, end in some}, value=DONOR.c.id)
        shorter = or_(DONOR.c.deferred_until.is_(None), DONOR.c.deferred_until < ends)
        session.execute(update(DONOR).where(DONOR.c.id.in_(donors), shorter).values(deferred_until=ends))


def _batches(values: Collection[Value]) -> Iterator[list[Value]]:
    """Cut what one statement would be too long for."""
    rest = iter(values)
    while batch := list(islice(rest, BATCH)):
        yield batch


def add_donations(session: Session, donations: Collection[tuple[int, datetime, str]]) -> int:
    """Enter donations (donor's id, moment, component) of donors who have none on that local day; return how many."""
    if not donations:
        return 0
    donors = {donor_id for donor_id, _, _ in donations}
    known = session.execute(select(Donation.donor_id, Donation.at).where(Donation.donor_id.in_(donors)))
    given = {(donor_id, _local_day(at)) for donor_id, at in known}
    rows: list[dict[str, Any]] = []
    for donor_id, at, component in donations:
        day = (donor_id, _local_day(at))
        if day not in given:
            given.add(day)
            rows.append({"donor_id": donor_id, "at": at, "component": component})
    if rows:
        session.execute(insert(cast("Table", Donation.__table__)), rows)
    return len(rows)


def _local_day(at: datetime) -> date:
    return at.astimezone(ZoneInfo(TIME_ZONE)).date()


def asks_page(session: Session, request_id: int, *, after_id: int, limit: int) -> list[tuple[ContactOutcome, Donor]]:
    """Return asks of a request with the donor, in the order recorded."""
    query = (
        select(ContactOutcome, Donor)
        .join(Donor, Donor.id == ContactOutcome.donor_id)
        .where(ContactOutcome.request_id == request_id, ContactOutcome.id > after_id)
        .order_by(ContactOutcome.id)
        .limit(limit)
    )
    return [(ask, donor) for ask, donor in session.execute(query)]


def count_asks(session: Session, request_id: int) -> dict[str, int]:
    """Return how many donors were asked for a request, answered, accepted, arrived and donated."""
    donated = ContactOutcome.outcome == "donated"
    counts = session.execute(
        select(
            func.count().label("asked"),
            func.count(ContactOutcome.answered_at).label("answered"),
            _count(ContactOutcome.answer == "accepted").label("accepted"),
            _count(or_(ContactOutcome.arrived_at.is_not(None), donated)).label("arrived"),
            _count(donated).label("donated"),
        ).where(ContactOutcome.request_id == request_id)
    )
    return dict(counts.mappings().one())


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))
