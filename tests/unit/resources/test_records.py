"""Records one by one, on the blood service's banks, units and donations."""

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from backend.domains.blood.resource_schemas import NewBank, NewUnit
from backend.domains.blood.resources import BANKS, REQUESTS, UNITS
from backend.domains.blood.tables import BloodBank
from backend.errors import Conflict, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.resources import records
from backend.resources.schemas import change_schema, query_schema
from tests.unit.batches.file_service import FileService
from tests.unit.domains.blood.outcome_cases import a_request, store

pytestmark = pytest.mark.usefixtures("service")


def a_bank(external_id="B1", **changes) -> NewBank:
    values = {"external_id": external_id, "name": "General", "district": "Kollam", "latitude": 9.0, "longitude": 76.6}
    return NewBank(**(values | changes))


def a_unit(bank_id, **changes) -> NewUnit:
    values = {"blood_group": "B+", "product": "red_cells_additive", "collected_at": "2026-03-01T10:00Z"}
    return NewUnit(**({"external_id": "U1", "bank_id": bank_id} | values | changes))


def patch(resource, record_id, **changes):
    return records.change(resource, record_id, change_schema(resource)(**changes))


def listed(resource, **query) -> list[str]:
    page = records.list_records(resource, query_schema(resource)(**query))
    return [item.external_id for item in page.items]


def test_a_new_record_is_stored_and_returned(service: FileService):
    record, is_new = records.add(BANKS, a_bank())
    assert is_new
    assert records.get(BANKS, record.id) == record


def test_the_same_record_again_changes_nothing(service: FileService):
    first, _ = records.add(BANKS, a_bank())
    assert records.add(BANKS, a_bank()) == (first, False)
    assert len(listed(BANKS)) == 1


def test_another_record_with_the_same_external_id_is_a_conflict_and_changes_nothing(service: FileService):
    first, _ = records.add(BANKS, a_bank())
    with pytest.raises(Conflict, match="PATCH it to change them"):
        records.add(BANKS, a_bank(name="Lakeshore"))
    assert records.get(BANKS, first.id) == first


def test_who_loses_the_race_to_add_a_record_sees_the_one_that_was_added(service: FileService, monkeypatch):
    add, calls = records._add, []

    def overtaken(resource, new):
        """Somebody else commits the same record between our look and our insert, the first time."""
        calls.append(new)
        if len(calls) == 1:
            add(resource, new)
            with transaction() as session:
                session.add(BloodBank(**new.model_dump()))
        return add(resource, new)

    monkeypatch.setattr(records, "_add", overtaken)
    record, is_new = records.add(BANKS, a_bank())
    assert (record.external_id, is_new, len(calls)) == ("B1", False, 2)
    assert listed(BANKS) == ["B1"]


def test_a_record_that_the_database_keeps_refusing_is_no_endless_loop(service: FileService, monkeypatch):
    def refuse(*_args):
        raise IntegrityError("INSERT", {}, Exception())

    monkeypatch.setattr(records, "_add", refuse)
    with pytest.raises(IntegrityError):
        records.add(BANKS, a_bank())


def test_a_record_is_found_by_id_only(service: FileService):
    for unknown in (1, 2**63, 10**30):
        with pytest.raises(NotFound):
            records.get(BANKS, unknown)
        with pytest.raises(NotFound):
            patch(BANKS, unknown, name="x")


def test_a_patch_changes_what_it_mentions_and_nothing_else(service: FileService):
    before, _ = records.add(BANKS, a_bank())
    after = patch(BANKS, before.id, name="Lakeshore")
    assert after == before.model_copy(update={"name": "Lakeshore", "updated_at": after.updated_at})
    assert after.updated_at > before.updated_at


def test_a_patch_that_says_what_is_stored_does_not_touch_the_record(service: FileService):
    before, _ = records.add(BANKS, a_bank())
    assert patch(BANKS, before.id, name="General", latitude=9) == before
    assert patch(BANKS, before.id) == before


def test_what_identifies_a_record_is_no_field_of_its_patch(service: FileService):
    assert "external_id" not in change_schema(BANKS).model_fields
    assert {"bank_id", "external_id", "bank_external_id"} & change_schema(UNITS).model_fields.keys() == {"bank_id"}


def test_a_patch_must_leave_the_whole_valid(service: FileService):
    bank, _ = records.add(BANKS, a_bank())
    unit, _ = records.add(UNITS, a_unit(bank.id))
    with pytest.raises(ValidationFailed, match="within the product's shelf life"):
        patch(UNITS, unit.id, product="platelets")
    with pytest.raises(ValidationFailed, match="there is no such bank"):
        patch(UNITS, unit.id, bank_id=77)
    assert records.get(UNITS, unit.id) == unit
    moved = patch(UNITS, unit.id, product="platelets", expires_at="2026-03-05T10:00Z")
    assert (moved.product, moved.expires_at.day) == ("platelets", 5)


def test_a_record_without_an_external_id_can_be_changed_and_stays_without(service: FileService):
    request_id = store(a_request(needed_by=None))
    changed = patch(REQUESTS, request_id, needed_by="2026-04-01T10:00Z")
    assert (changed.external_id, changed.needed_by.month) == (None, 4)
    assert patch(REQUESTS, request_id, needed_by=None).needed_by is None
    with pytest.raises(ValidationFailed, match="needed_by must be later than created_at"):
        patch(REQUESTS, request_id, needed_by="2020-04-01T10:00Z")


def test_lists_are_in_order_filtered_and_cut_into_pages(service: FileService):
    for n in range(5):
        records.add(BANKS, a_bank(f"B{n}", district="Kollam" if n % 2 else "Kannur"))
    assert listed(BANKS) == ["B0", "B1", "B2", "B3", "B4"]
    assert listed(BANKS, district="Kollam") == ["B1", "B3"]
    assert listed(BANKS, external_id="B3", district="Kollam") == ["B3"]
    assert listed(BANKS, external_id="B3", district="Kannur") == []
    seen, after = [], 0
    while after is not None:
        page = records.list_records(BANKS, query_schema(BANKS)(after_id=after, limit=2))
        assert 1 <= len(page.items) <= 2
        seen += [item.external_id for item in page.items]
        after = page.next_after_id
    assert seen == ["B0", "B1", "B2", "B3", "B4"]


def test_a_page_that_is_just_full_is_the_last(service: FileService):
    for n in range(2):
        records.add(BANKS, a_bank(f"B{n}"))
    assert records.list_records(BANKS, query_schema(BANKS)(limit=2)).next_after_id is None


def test_a_page_goes_on_where_a_record_was_deleted(service: FileService):
    ids = [records.add(BANKS, a_bank(f"B{n}"))[0].id for n in range(3)]
    with transaction() as session:
        session.execute(delete(BloodBank).where(BloodBank.id == ids[1]))
    assert listed(BANKS, after_id=ids[0]) == ["B2"]
