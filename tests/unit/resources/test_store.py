"""Storing records by what their owner calls them."""

from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from backend.domains.blood.resource_schemas import NewDonor
from backend.domains.blood.resources import BANKS, DONORS, RESOURCES, UNITS
from backend.domains.blood.tables import BloodBank, BloodUnit, Donor
from backend.extensions import transaction
from backend.resources.declaration import Change, Refused, Resource
from backend.resources.store import importer_of, mentioned_by, store
from tests.unit.batches.file_service import FileService

pytestmark = pytest.mark.usefixtures("service")

DONOR = {"external_id": "D1", "blood_group": "B+", "born_on": "1990-02-01", "latitude": 10.0, "longitude": 76.3}
DONOR |= {"consented": True}
UNIT = {"external_id": "U1", "bank_external_id": "B1", "blood_group": "B+", "product": "red_cells_additive"}
UNIT |= {"collected_at": "2026-03-01T10:00:00Z"}


def stored(resource: Resource, *rows):
    with transaction() as session:
        return store(session, resource, [resource.new(**row) for row in rows])


def everything(table):
    with transaction(read_only=True) as session:
        return [dict(row) for row in session.execute(select(table.__table__)).mappings()]


@pytest.fixture
def bank(service: FileService) -> None:
    place = {"name": "General", "district": "Kollam", "latitude": 9.0, "longitude": 76.6}
    assert stored(BANKS, {"external_id": "B1"} | place, {"external_id": "B2"} | place) == [Change.CREATED] * 2


def test_each_row_is_answered_in_order(bank):
    first = stored(UNITS, UNIT, UNIT | {"external_id": "U2"})
    assert first == [Change.CREATED, Change.CREATED]
    again = stored(
        UNITS,
        UNIT | {"external_id": "U3"},
        UNIT | {"external_id": "U4", "bank_external_id": "B9"},
        UNIT | {"state": "issued"},
        UNIT | {"external_id": "U2"},
    )
    refused = Refused("bank_external_id", "there is no such bank")
    assert again == [Change.CREATED, refused, Change.UPDATED, Change.UNCHANGED]
    assert [unit["state"] for unit in everything(BloodUnit)] == ["available" if n != 0 else "issued" for n in range(3)]


def test_a_reference_is_by_our_id_or_by_theirs(bank):
    (first, second) = (row["id"] for row in everything(BloodBank))
    assert stored(UNITS, UNIT) == [Change.CREATED]
    by_id = {name: value for name, value in UNIT.items() if name != "bank_external_id"} | {"bank_id": first}
    assert stored(UNITS, by_id) == [Change.UNCHANGED]
    assert stored(UNITS, UNIT | {"bank_external_id": "B2"}) == [Change.UPDATED], "the bag was moved"
    assert everything(BloodUnit)[0]["bank_id"] == second
    assert stored(UNITS, by_id | {"bank_id": 10**6}) == [Refused("bank_id", "there is no such bank")]


def test_an_update_must_leave_the_whole_valid(bank):
    """Red cells keep 42 days, platelets five: with the expiry they had, they would count as usable for weeks."""
    stored(UNITS, UNIT)
    before = everything(BloodUnit)
    (refused,) = stored(UNITS, UNIT | {"product": "platelets"})
    assert isinstance(refused, Refused)
    assert refused.reason == "expires_at must lie within the product's shelf life after collected_at"
    assert everything(BloodUnit) == before
    assert stored(UNITS, UNIT | {"product": "platelets", "expires_at": "2026-03-05T10:00Z"}) == [Change.UPDATED]


def test_an_empty_field_says_something_only_where_it_may_be_empty(service: FileService):
    row = NewDonor(**DONOR, name=None, registered_at=None, district=None)
    assert mentioned_by(DONORS, row) == {*DONOR, "name"}


optional = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.sampled_from(["Asha", "Biju"]),
        "weight_kg": st.none() | st.floats(40, 100),
        "sex": st.sampled_from(["female", "male"]),
        "deferred_until": st.none()
        | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.isoformat() + "+05:30"),  # noqa: DTZ001 - the zone follows
        "district": st.none() | st.sampled_from(["Kollam", "Kannur"]),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=optional, second=optional)
def test_after_any_two_imports_each_field_is_the_last_one_said(service: FileService, first, second):
    with transaction() as session:
        session.execute(delete(Donor))
    stored(DONORS, DONOR | first)
    (created,) = everything(Donor)
    (outcome,) = stored(DONORS, DONOR | second)
    (after,) = everything(Donor)
    said = {name: value for name, value in second.items() if name != "district" or value is not None}
    expected = created | NewDonor(**DONOR | said).model_dump(include=said.keys())
    assert {name: after[name] for name in after if name != "updated_at"} == {
        name: value for name, value in expected.items() if name != "updated_at"
    }
    assert outcome is (Change.UNCHANGED if after == created else Change.UPDATED)
    assert stored(DONORS, DONOR | second) == [Change.UNCHANGED]
    assert everything(Donor) == [after], "not even updated_at"


def test_every_resource_can_be_imported_by_its_external_id(service: FileService):
    for resource in RESOURCES:
        importer = importer_of(resource)
        assert (importer.name, importer.row, importer.key) == (resource.name, resource.new, ("external_id",))
        assert importer.name in service.app.extensions["importers"]


def test_nothing_to_store_is_stored(service: FileService):
    assert stored(BANKS) == []
    assert everything(BloodBank) == []
