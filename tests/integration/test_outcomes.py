"""Recording outcomes on a real PostgreSQL, where several transactions write at once."""

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.app import create_app
from backend.domains.blood.outcome_command import store_events
from backend.domains.blood.outcome_schemas import OutcomeEvent
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donation, Donor
from backend.extensions import Table, db, transaction
from backend.resources.declaration import Change
from backend.settings import Settings

pytestmark = pytest.mark.integration

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
DONORS = 100
KINDS = ("asked", "accepted", "donated")


@pytest.fixture
def app(tmp_path: Path, postgresql: str):
    app = create_app(Settings(_env_file=None, data_dir=tmp_path, database_url=postgresql, log_level="ERROR"))
    place = {"district": "Kannur", "latitude": 12.0, "longitude": 75.5, "blood_group": "B+"}
    person = {"sex": "male", "born_on": date(1990, 1, 2), "consented": True, "registered_at": START}
    need = {"component": "red_cells", "units_required": 1, "urgency": 2, "created_at": START}
    with app.app_context():
        Table.metadata.create_all(db.engine)
        with transaction() as session:
            session.add_all(Donor(id=number, **place, **person) for number in range(1, DONORS + 1))
            session.add(BloodRequest(id=1, **place, **need))
        yield app
        db.engine.dispose()


def test_who_records_the_same_at_once_waits_and_finds_it_on_record(app):
    events = [
        {"request_id": 1, "donor_id": donor, "event": kind, "at": (START + hour * timedelta(hours=1)).isoformat()}
        for donor in range(1, DONORS + 1)
        for hour, kind in enumerate(KINDS)
    ]
    answers = []

    def post():
        with app.test_client() as client:
            answers.append(client.post("/api/ml/outcomes", json={"events": events}).json)

    second = threading.Thread(target=post)
    with transaction() as session:
        first = store_events(session, [OutcomeEvent.model_validate(event) for event in events])
        second.start()
        second.join(timeout=1)
        assert second.is_alive()
    second.join(timeout=60)
    assert set(first) == {Change.CREATED, Change.UPDATED}
    unchanged = {"recorded": 0, "unchanged": DONORS}
    assert answers == [{"events": dict.fromkeys(KINDS, unchanged), "donations": 0}]
    with transaction(read_only=True) as session:
        for table in (ContactOutcome, Donation):
            assert session.scalar(select(func.count()).select_from(table)) == DONORS
