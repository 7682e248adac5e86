"""Filling an empty database with a simulated blood service."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, cast

import numpy as np
from sqlalchemy import Table as CoreTable
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.domains.blood.geography import DISTRICTS
from backend.domains.blood.records import BLOOD_GROUPS, Answer, Component, Outcome, Sex
from backend.domains.blood.shelf_lives import expires_at
from backend.domains.blood.simulate import World, simulate
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.stock import Units, banks, draw_units
from backend.domains.blood.tables import BloodBank, BloodRequest, BloodUnit, ContactOutcome, Donation, Donor
from backend.extensions import Table, transaction

CHUNK = 20_000  # rows of one INSERT
OPEN_REQUEST = 1  # id of a request that is open, for whoever tries the API; the simulated ones follow it

Rows = Iterator[dict[str, Any]]


def seed(*, donors: int, seed: int, progress: Callable[[float, str], None]) -> str:
    """Simulate two years up to now and store them, if there are no donors yet; returns one line for people."""
    with transaction(read_only=True) as session:
        present = session.scalar(select(func.count()).select_from(Donor))
    if present:
        return f"the database already has {present:,} donors; nothing was changed"
    now = utc_now()
    world = simulate(donors=donors, seed=seed, end=now.timestamp(), progress=progress)
    units = draw_units(
        np.random.default_rng([seed, 1]),
        hospitals=world.hospitals,
        donors=donors,
        now=now.timestamp(),
        parameters=WorldParameters(),
    )
    with transaction() as session:  # one transaction: a seed that was cut off leaves nothing behind
        for table, count, rows in _tables(world, units, now):
            for stored in _insert(session, table, rows):
                progress(stored / count, f"storing {count:,} rows of {table.__tablename__}")
            _move_sequence(session, table)
    return (
        f"stored {len(world.donors):,} simulated donors, {len(world.requests):,} requests, "
        f"{len(world.donations):,} donations, {len(world.contacts):,} contacts, and {len(units):,} units in "
        f"{len(DISTRICTS)} banks; request {OPEN_REQUEST} is open"
    )


def _tables(world: World, units: Units, now: datetime) -> Iterator[tuple[type[Table], int, Rows]]:
    yield Donor, len(world.donors), _donors(world, now)
    yield BloodRequest, 1 + len(world.requests), chain([_open_request(now)], _requests(world, now))
    yield Donation, len(world.donations), _donations(world, now)
    yield ContactOutcome, len(world.contacts), _contacts(world, now)
    yield BloodBank, len(DISTRICTS), _banks(world, now)
    yield BloodUnit, len(units), _units(units, now)


def _insert(session: Session, table: type[Table], rows: Rows) -> Iterator[int]:
    stored = 0
    # The bare table: an ORM insert makes a statement of each run of rows that miss the same columns.
    statement = insert(cast("CoreTable", table.__table__))
    while chunk := list(islice(rows, CHUNK)):
        session.execute(statement, chunk)
        stored += len(chunk)
        yield stored


def _move_sequence(session: Session, table: type[Table]) -> None:
    """Let PostgreSQL go on counting after the ids that were given explicitly."""
    if session.get_bind().dialect.name != "postgresql":
        return
    sequence = func.pg_get_serial_sequence(table.__tablename__, "id")
    session.execute(select(func.setval(sequence, func.max(table.__table__.c.id))))


def _donors(world: World, now: datetime) -> Rows:
    donors = world.donors
    for i, donor_id in enumerate(donors.id.tolist()):
        yield {
            "id": donor_id,
            "external_id": f"SIM-{donor_id}",
            "name": f"Simulated donor {donor_id}",
            "phone": None,
            "blood_group": BLOOD_GROUPS[donors.blood_group[i]],
            "sex": Sex(donors.sex[i]).name.lower(),
            "born_on": datetime.fromtimestamp(donors.born_at[i], UTC).date(),
            "weight_kg": _number(donors.weight_kg[i]),
            "hemoglobin_g_dl": _number(donors.hemoglobin_g_dl[i]),
            "district": DISTRICTS[donors.district[i]].name,
            "latitude": float(donors.latitude[i]),
            "longitude": float(donors.longitude[i]),
            "consented": bool(donors.consented[i]),
            "deferred_until": _moment(donors.deferred_until[i]),
            "registered_at": _moment(donors.registered_at[i]),
            "updated_at": now,
        }


def _open_request(now: datetime) -> dict[str, Any]:
    kochi = {"district": "Ernakulam", "latitude": 9.97, "longitude": 76.28}
    need = {"blood_group": "B+", "component": "red_cells", "units_required": 2, "urgency": 3}
    times = {"created_at": now, "needed_by": None, "cancelled_at": None, "updated_at": now}
    return {"id": OPEN_REQUEST, "hospital": None, **kochi, **need, **times}


def _requests(world: World, now: datetime) -> Rows:
    requests = world.requests
    for i, request_id in enumerate(requests.id.tolist()):
        yield {
            "id": OPEN_REQUEST + request_id,
            "hospital": None,
            "district": DISTRICTS[requests.district[i]].name,
            "latitude": float(requests.latitude[i]),
            "longitude": float(requests.longitude[i]),
            "blood_group": BLOOD_GROUPS[requests.blood_group[i]],
            "component": Component(requests.component[i]).name.lower(),
            "units_required": int(requests.units[i]),
            "urgency": int(requests.urgency[i]),
            "created_at": _moment(requests.created_at[i]),
            "needed_by": _moment(requests.needed_by[i]),
            "cancelled_at": _moment(requests.cancelled_at[i]),
            "updated_at": now,
        }


def _donations(world: World, now: datetime) -> Rows:
    donations = world.donations
    for i in range(len(donations)):
        yield {
            "donor_id": int(world.donors.id[donations.donor[i]]),
            "at": _moment(donations.at[i]),
            "component": Component(donations.component[i]).name.lower(),
            "updated_at": now,
        }


def _contacts(world: World, now: datetime) -> Rows:
    contacts = world.contacts
    for i in range(len(contacts)):
        answer, outcome = Answer(contacts.answer[i]), Outcome(contacts.outcome[i])
        yield {
            "donor_id": int(world.donors.id[contacts.donor[i]]),
            "request_id": OPEN_REQUEST + int(contacts.request[i]),
            "distance_km": _number(contacts.distance_km[i]),
            "asked_at": _moment(contacts.asked_at[i]),
            "delivered_at": None,
            "seen_at": None,
            "answer": None if answer is Answer.NONE else answer.name.lower(),
            "answered_at": _moment(contacts.answered_at[i]),
            "arrived_at": _moment(contacts.arrived_at[i]),
            "outcome": None if outcome is Outcome.PENDING else outcome.name.lower(),
            "ended_at": _moment(contacts.ended_at[i]),
            "updated_at": now,
        }


def _banks(world: World, now: datetime) -> Rows:
    places = world.hospitals
    for district, i in enumerate(banks(places).tolist()):
        yield {
            "id": 1 + district,
            "external_id": f"SIM-{1 + district}",
            "name": f"Bank of {places.name[i]}",
            "district": DISTRICTS[district].name,
            "latitude": float(places.latitude[i]),
            "longitude": float(places.longitude[i]),
            "updated_at": now,
        }


def _units(units: Units, now: datetime) -> Rows:
    for i in range(len(units)):
        product, collected_at = str(units.product[i]), datetime.fromtimestamp(float(units.collected_at[i]), UTC)
        yield {
            "external_id": f"SIM-{1 + i}",
            "bank_id": 1 + int(units.bank[i]),
            "blood_group": BLOOD_GROUPS[units.blood_group[i]],
            "product": product,
            "collected_at": collected_at,
            "expires_at": expires_at(product, collected_at),
            "state": "available",
            "updated_at": now,
        }


def _moment(seconds: float) -> datetime | None:
    return None if np.isnan(seconds) else datetime.fromtimestamp(float(seconds), UTC)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
