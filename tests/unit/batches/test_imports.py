"""Imports: what becomes of the rows of a file, and that doing it again changes nothing."""

import io
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from backend.batches import imports
from backend.domains.blood.tables import BloodBank, Donor
from backend.extensions import transaction
from backend.jobs import finish
from backend.jobs.reconcile import reconcile
from backend.jobs.tables import Job
from backend.resources import store
from tests.unit.batches.file_service import FileService, counts, folders, jobs, parts_of

HEADER = "external_id,name,district,latitude,longitude\n"


def bank(name: str, *, called: str = "General", latitude: object = 10.0) -> str:
    return f"{name},{called},Ernakulam,{latitude},76.3\n"


def banks() -> dict[str, str]:
    with transaction(read_only=True) as session:
        return dict(session.execute(select(BloodBank.external_id, BloodBank.name)).all())


def updates(table) -> list[datetime]:
    with transaction(read_only=True) as session:
        return list(session.scalars(select(table.updated_at).order_by(table.id)))


def test_new_rows_are_created_known_ones_updated_and_equal_ones_left_alone(service: FileService):
    assert counts(service.imported("banks", HEADER + bank("B1") + bank("B2"))) == (2, 0, 0, 0)
    changed = HEADER + bank("B1") + bank("B2", called="Medical College") + bank("B3")
    assert counts(service.imported("banks", changed)) == (1, 1, 1, 0)
    assert banks() == {"B1": "General", "B2": "Medical College", "B3": "General"}


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
def test_the_same_file_twice_changes_nothing_at_all(service: FileService, small_parts, format_):
    body = HEADER + "".join(bank(f"B{n}") for n in range(12))
    if format_ == "ndjson":
        row = '{"external_id": "B%d", "name": "General", "district": "Ernakulam", "latitude": 10, "longitude": 76.3}\n'
        body = "".join(row % n for n in range(12))
    assert counts(service.imported("banks", body, format_=format_)) == (12, 0, 0, 0)
    before = updates(BloodBank)
    again = service.imported("banks", body, format_=format_)
    assert counts(again) == (0, 0, 12, 0)
    assert updates(BloodBank) == before
    assert again["files"] == []


def test_refused_rows_are_listed_with_row_column_and_reason_and_the_others_are_stored(service: FileService):
    body = HEADER + bank("B1") + bank("B2", latitude=95) + "B3,=cmd(),Nowhere,10,76.3\n" + "B4,x\n" + bank("B5")
    result = service.imported("banks", body)
    assert counts(result) == (2, 0, 0, 3)
    assert [(row, column) for row, column, _ in service.refused(result["id"])] == [
        (2, "latitude"),
        (3, "name"),
        (3, "district"),
        (4, ""),
    ]
    assert set(banks()) == {"B1", "B5"}
    assert "cmd" not in service.file(result["id"], "errors").decode()


@pytest.mark.parametrize("parts", ["one", "many"])
def test_of_rows_that_are_there_twice_the_later_ones_are_refused_and_name_the_first(
    service: FileService, parts, request
):
    if parts == "many":
        request.getfixturevalue("small_parts")
    body = HEADER + bank("B1") + bank("B2") + bank("B1", called="Other") + bank("B3") + bank("B1")
    result = service.imported("banks", body)
    assert counts(result) == (3, 0, 0, 2)
    reason = "row 1 has the same; keep one of them"
    assert service.refused(result["id"]) == [(3, "external_id", reason), (5, "external_id", reason)]
    assert banks()["B1"] == "General"


def test_blanks_around_an_external_id_do_not_make_another(service: FileService):
    row = '{"external_id": "%s", "name": "General", "district": "Ernakulam", "latitude": 10, "longitude": 76.3}\n'
    result = service.imported("banks", row % "B1" + row % " B1 " + row % "B2", format_="ndjson")
    assert counts(result) == (2, 0, 0, 1)
    assert set(banks()) == {"B1", "B2"}


def test_rows_without_a_key_are_wrong_each_by_itself(service: FileService):
    result = service.imported("banks", HEADER + bank("") + bank(""))
    assert counts(result) == (0, 0, 0, 2)
    assert [(row, column) for row, column, _ in service.refused(result["id"])] == [
        (1, "external_id"),
        (2, "external_id"),
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("external_id,name,district,latitude", "it has no column longitude"),
        ("external_id,name,district,latitude,longitude,nmae", "it has columns that are not known: number 6"),
        ("external_id,name,name,district,latitude,longitude", "columns 2 and 3 have the same name"),
    ],
)
def test_columns_that_are_missing_or_unknown_are_refused_before_anything_is_stored(
    service: FileService, header, message
):
    refused = service.upload("/imports/banks", header + "\n1\n")
    assert (refused.status_code, refused.json["code"]) == (422, "bad_file")
    assert message in refused.json["detail"]
    assert (jobs(), folders(service)) == (0, [])


def test_an_import_of_nothing_known_is_refused_with_what_there_is(service: FileService):
    refused = service.upload("/imports/patients", "a\n1\n")
    assert refused.status_code == 404
    assert "banks, donations, donors, requests, units" in refused.json["detail"]
    assert (jobs(), folders(service)) == (0, [])


def test_a_part_that_was_stored_right_before_its_worker_died_is_counted_once(
    service: FileService, small_parts, monkeypatch
):
    accepted = service.upload(
        "/imports/banks", HEADER + "".join(bank(f"B{n}") for n in range(6)) + bank("B6", latitude=95)
    )
    service.run(most=1)

    def die(*_args, **_options):
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(finish, "succeed", die)
        with pytest.raises(SystemExit):
            service.run(most=1)
    assert len(banks()) == 2, "the rows of the part are there, and the part is not yet done"
    with transaction() as session:
        overdue = datetime.now(UTC) - timedelta(seconds=1)
        session.execute(update(Job).where(Job.state == "running").values(lease_until=overdue))
    reconcile(service.doorbell, patience=timedelta(0))
    done = service.finish(accepted)
    assert counts(done["result"]) == (6, 0, 0, 1)
    assert [row for row, _, _ in service.refused(done["id"])] == [7]
    assert parts_of(done["id"])[0].attempt == 2


def test_parts_run_one_after_the_other(service: FileService, small_parts):
    service.upload("/imports/banks", HEADER + "".join(bank(f"B{n}") for n in range(12)))
    service.run(most=1)
    while service.doorbell.rings:
        assert len(service.doorbell.rings) == 1
        service.run(most=1)
    assert len(banks()) == 12


def test_a_record_that_somebody_added_at_the_same_moment_costs_an_attempt_and_not_the_import(
    service: FileService, monkeypatch
):
    monkeypatch.setattr("backend.jobs.finish.pause_after", lambda *_: timedelta(0))
    know, calls = store.known, []

    def look_too_early(session, resource, prepared):
        calls.append(prepared)
        return know(session, resource, prepared) if len(calls) > 1 else {}

    service.imported("banks", HEADER + bank("B1"))
    monkeypatch.setattr(store, "known", look_too_early)
    accepted = service.upload("/imports/banks", HEADER + bank("B1", called="New") + bank("B2"))
    service.run()
    reconcile(service.doorbell, patience=timedelta(0))
    done = service.finish(accepted)
    assert counts(done["result"]) == (1, 1, 0, 0)
    assert IntegrityError.__name__ not in str(done)


def test_an_import_that_is_cancelled_between_parts_keeps_what_is_stored_and_stops(service: FileService, small_parts):
    accepted = service.upload("/imports/banks", HEADER + "".join(bank(f"B{n}") for n in range(12)))
    service.run(most=2)
    job_id = accepted.json["id"]
    assert service.client.post(f"/api/ml/jobs/{job_id}/cancel").json["state"] == "cancelled"
    stored = len(banks())
    service.run()
    assert 0 < len(banks()) == stored < 12
    assert service.work(job_id)["done"] == stored


def test_a_large_row_group_is_stored_in_pieces_that_the_database_takes(service: FileService, monkeypatch):
    asked = []
    importer = imports.importer_named("banks")
    real = importer.store
    monkeypatch.setattr(imports, "importer_named", lambda _name: importer)
    object.__setattr__(importer, "store", lambda session, rows: asked.append(len(rows)) or real(session, rows))
    n = 2 * imports.ROWS_AT_ONCE + 5
    columns = {
        "external_id": [f"B{i}" for i in range(n)],
        "name": ["General"] * n,
        "district": ["Ernakulam"] * n,
        "latitude": [10.0] * n,
        "longitude": [76.3] * n,
    }
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer, row_group_size=n)
    assert counts(service.imported("banks", buffer.getvalue(), format_="parquet")) == (n, 0, 0, 0)
    assert asked == [imports.ROWS_AT_ONCE, imports.ROWS_AT_ONCE, 5]


def test_too_many_doubles_fail_the_import_before_anything_is_stored(service: FileService, monkeypatch):
    monkeypatch.setattr("backend.batches.imports.MOST_DOUBLES", 2)
    done = service.finish(service.upload("/imports/banks", HEADER + bank("B1") * 4))
    assert (done["state"], done["error"]["code"]) == ("failed", "bad_file")
    assert done["error"]["message"] == "more than 2 rows have the same external_id as an earlier one"
    assert banks() == {}


def test_an_upload_that_vanished_between_parts_ends_the_import_with_what_to_do(service: FileService, small_parts):
    accepted = service.upload("/imports/banks", HEADER + "".join(bank(f"B{n}") for n in range(12)))
    service.run(most=2)
    service.storage.remove(UUID(accepted.json["id"]))
    ended = service.finish(accepted)
    assert ended["state"] == "failed"
    assert "the upload is no longer there; send the file again" in ended["error"]["message"]


DONOR = "external_id,blood_group,born_on,latitude,longitude,consented"


def donor(**changes) -> str:
    values = {"external_id": "D1", "blood_group": "B+", "born_on": "1990-02-01", "latitude": 10, "longitude": 76.3}
    values |= {"consented": "yes"} | changes
    return ",".join(values) + "\n" + ",".join(str(value) for value in values.values()) + "\n"


def stored_donor() -> Donor:
    with transaction(read_only=True) as session:
        return session.scalars(select(Donor)).one()


def test_a_column_that_is_absent_keeps_what_is_stored(service: FileService):
    service.imported("donors", donor(name="Asha", weight_kg=61, sex="female", district="Kollam"))
    assert counts(service.imported("donors", donor(born_on="1990-02-02"))) == (0, 1, 0, 0)
    found = stored_donor()
    assert (found.name, found.weight_kg, found.sex, found.district) == ("Asha", 61.0, "female", "Kollam")
    assert str(found.born_on) == "1990-02-02"


def test_an_empty_cell_clears_what_may_be_empty_and_leaves_the_rest(service: FileService):
    service.imported(
        "donors", donor(name="Asha", weight_kg=61, sex="female", district="Kollam", registered_at="2020-01-01T00:00Z")
    )
    result = service.imported("donors", donor(name="", weight_kg=" ", sex="", district="", registered_at=""))
    assert counts(result) == (0, 1, 0, 0)
    found = stored_donor()
    assert (found.name, found.weight_kg) == (None, None)
    assert (found.sex, found.district, found.registered_at.year) == ("female", "Kollam", 2020)


def test_an_empty_cell_in_a_column_that_is_needed_is_an_error(service: FileService):
    result = service.imported("donors", donor(blood_group=""))
    assert counts(result) == (0, 0, 0, 1)
    assert service.refused(result["id"]) == [(1, "blood_group", "Field required")]
