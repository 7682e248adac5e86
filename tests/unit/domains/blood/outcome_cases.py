"""A donor, a request, and what happened between them, for the tests of recording it."""

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select

from backend.domains.blood.tables import BloodRequest, Donor
from backend.extensions import transaction

URL = "/api/ml/outcomes"
START = datetime(2026, 3, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def a_donor(**changes):
    values = {
        "blood_group": "B+",
        "sex": "male",
        "born_on": date(1990, 1, 2),
        "district": "Kannur",
        "latitude": 12.0,
        "longitude": 75.5,
        "consented": True,
        "registered_at": START - 900 * DAY,
    }
    return Donor(**(values | changes))


def a_request(**changes):
    values = {
        "district": "Kannur",
        "latitude": 11.9,
        "longitude": 75.4,
        "blood_group": "B+",
        "component": "platelets",
        "units_required": 1,
        "urgency": 2,
        "created_at": START - DAY,
    }
    return BloodRequest(**(values | changes))


def store(*rows):
    with transaction() as session:
        session.add_all(rows)
    return rows[0].id


def a_pair() -> dict[str, int]:
    """A stored donor and a stored request, as an event names them."""
    return {"donor_id": store(a_donor()), "request_id": store(a_request())}


def happened(ids, kind, minutes=0.0, **more):
    return {**ids, "event": kind, "at": (START + minutes * MINUTE).isoformat(), **more}


def send(client, *events):
    return client.post(URL, json={"events": events})


def rows(table):
    with transaction(read_only=True) as session:
        return session.scalars(select(table).order_by(table.__table__.primary_key.columns[0])).all()


def values(table):
    return [{column.name: getattr(row, column.name) for column in table.__table__.c} for row in rows(table)]
