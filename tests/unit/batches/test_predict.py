"""Predictions for the rows of a file, with small models and a small question."""

import io
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from sqlalchemy import update

from backend.clock import utc_now
from backend.extensions import transaction
from backend.inference.manifest import Calibration
from backend.jobs.claim import claim
from backend.jobs.reconcile import reconcile
from backend.jobs.tables import Job
from backend.registry.checked import Checked
from backend.registry.intake import register_folder
from backend.registry.lifecycle import promote
from backend.registry.states import Alias
from tests.unit.batches.file_service import FileService, folders, jobs, parts_of
from tests.unit.conftest import LEASE
from tests.unit.inference.conftest import write_sum

NOTHING_BROKEN = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def adding(rows: int) -> str:
    return "a,b\n" + "".join(f"{row},{row / 4}\n" for row in range(1, rows + 1))


def predicted(service: FileService, body, *, query="model=adder", format_="csv"):
    return service.finish(service.upload(f"/batches?{query}", body, format_=format_))


def test_each_row_gets_its_number_and_its_prediction(service: FileService):
    done = predicted(service, "id,b,a\nx,2,1\ny,,4\nz,1e2,-1.5\n")
    assert (done["state"], done["rows"], done["done"], done["failed"]) == ("succeeded", 3, 3, 0)
    assert done["result"]["models"] == {"adder": "1"}
    assert service.file(done["id"], "result") == b"row,prediction\n1,3.5\n2,\n3,99\n"
    assert [file["role"] for file in done["files"]] == ["result"]


def test_bad_rows_are_listed_with_column_and_reason_and_the_others_are_predicted(service: FileService):
    done = predicted(service, 'a,b\n1,2\nAsha,1\n1\n3,"4\n5,6\n7,8,9\n1,inf\n')
    assert (done["state"], done["result"]["rows"], done["result"]["done"], done["failed"]) == ("succeeded", 7, 2, 5)
    assert [row["row"] for row in service.rows(done["id"], "result")] == ["1", "5"]
    refused = service.refused(done["id"])
    assert [(row, column) for row, column, _ in refused] == [(2, "a"), (3, ""), (4, ""), (6, ""), (7, "b")]
    assert b"Asha" not in service.file(done["id"], "errors")


@pytest.mark.parametrize("query", ["model=adder", "scorer=test.halves"])
def test_a_file_of_nothing_but_bad_rows_has_an_empty_result(service: FileService, query):
    done = predicted(service, "a,b,number\nx,1,y\nx,2,z\n", query=query)
    assert (done["state"], done["result"]["done"], done["failed"]) == ("succeeded", 0, 2)
    assert service.rows(done["id"], "result") == []
    assert len(service.refused(done["id"])) == 2


def test_a_column_of_whole_numbers_takes_no_others(service: FileService):
    done = predicted(service, "n,x\n1,0.5\n2.0,1\n2.5,1\n,1\n3e9,1\ntrue,1\n-7,\n", query="model=counter")
    assert [row["row"] for row in service.rows(done["id"], "result")] == ["1", "2", "6", "7"]
    assert service.refused(done["id"]) == [(row, "n", "must be a whole number") for row in (3, 4, 5)]


@NOTHING_BROKEN
@given(cells=st.lists(st.text("0123456789.,-+einfax \"'=\t", max_size=6), min_size=1, max_size=12))
def test_whatever_the_cells_hold_every_row_is_in_one_file_exactly_once(service: FileService, cells):
    text = io.StringIO()
    text.write("a,b\n")
    for cell in cells:
        text.write(f"{cell},1\n")
    done = predicted(service, text.getvalue())
    assert done["state"] == "succeeded"
    answered = [int(row["row"]) for row in service.rows(done["id"], "result")]
    refused = {row for row, _, _ in service.refused(done["id"])} if done["failed"] else set()
    assert sorted([*answered, *refused]) == list(range(1, done["rows"] + 1))
    assert (len(answered), len(refused)) == (done["result"]["done"], done["result"]["failed"])


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_the_same_file_twice_gives_the_same_bytes_cut_into_parts_or_not(
    service: FileService, format_, monkeypatch: pytest.MonkeyPatch
):
    body = adding(40) + "x,1\n"
    first = predicted(service, body, query=f"model=adder&format={format_}")
    monkeypatch.setattr("backend.batches.predict.PART_BYTES", 60)
    second = predicted(service, body, query=f"model=adder&format={format_}")
    assert (first["parts"], second["parts"] > 3) == (1, True)
    for role in ("result", "errors"):
        assert service.file(first["id"], role) == service.file(second["id"], role)


def test_results_and_errors_come_in_the_format_that_was_asked_for(service: FileService):
    lines = '{"a": 1, "b": 2}\n{"a": [1], "b": 2}\n'
    done = predicted(service, lines, query="model=adder&format=parquet", format_="ndjson")
    assert {file["format"] for file in done["files"]} == {"parquet"}
    assert parquet.read_table(io.BytesIO(service.file(done["id"], "result"))).to_pylist() == [
        {"row": 1, "prediction": 3.5}
    ]
    (error,) = parquet.read_table(io.BytesIO(service.file(done["id"], "errors"))).to_pylist()
    assert (error["row"], error["column"]) == (2, "a")


def test_parquet_is_answered_in_parquet(service: FileService):
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"b": [1, 2], "a": [0.5, None]}), buffer)
    done = predicted(service, buffer.getvalue(), format_="parquet")
    found = parquet.read_table(io.BytesIO(service.file(done["id"], "result"))).to_pylist()
    assert found == [{"row": 1, "prediction": 2.0}, {"row": 2, "prediction": None}]


def test_rows_in_the_request_are_answered_as_lines_of_json(service: FileService):
    body = {
        "scorer": "test.halves",
        "rows": [{"number": 4, "note": "näh"}, {"number": 3}, {}],
        "as_of": "2020-05-01T00:00Z",
    }
    done = service.finish(service.client.post("/api/ml/batches", json=body))
    assert json.loads(service.file(done["id"], "result")) == {"row": 1, "half": 2, "note": "näh", "year": 2020}
    errors = [json.loads(line) for line in service.file(done["id"], "errors").splitlines()]
    assert [(error["row"], error["column"]) for error in errors] == [(2, "number"), (3, "number")]


def test_a_scorer_says_of_each_field_of_a_row_what_is_wrong_and_refuses_by_itself(service: FileService):
    done = predicted(service, "number,note,other\n4,a,1\n5,,1\nx,toolong,1\n,b,1\n2,,\n", query="scorer=test.halves")
    result = service.rows(done["id"], "result")
    assert [(row["row"], row["half"], row["note"]) for row in result] == [("1", "2", "a"), ("5", "1", "")]
    assert [(row, column) for row, column, _ in service.refused(done["id"])] == [
        (2, "number"),
        (3, "number"),
        (3, "note"),
        (4, "number"),
    ]
    assert done["failed"] == 3, "a row with two faults failed once"


def test_without_as_of_a_batch_is_about_the_moment_of_its_submission(service: FileService):
    accepted = service.upload("/batches?scorer=test.halves", "number\n2\n")
    job_id = UUID(accepted.json["id"])
    with transaction() as session:
        request = session.get(Job, job_id).request
        assert abs(datetime.fromisoformat(request["as_of"]) - datetime.now(UTC)) < timedelta(minutes=1)
        # as if it had been submitted long ago and was run only now
        session.execute(update(Job).where(Job.id == job_id).values(request=request | {"as_of": "2001-02-03T00:00:00Z"}))
    done = service.finish(accepted)
    assert service.rows(done["id"], "result")[0]["year"] == "2001"


@pytest.mark.parametrize("as_of", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-03-01T00:00:00"])
def test_a_moment_that_no_calendar_reaches_or_without_a_zone_is_refused(service: FileService, as_of):
    refused = service.upload(f"/batches?scorer=test.halves&as_of={as_of}", "number\n2\n")
    assert refused.status_code == 422, refused.text
    assert [error["field"] for error in refused.json["errors"]] == ["as_of"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", ""),
        ("model=adder&scorer=test.halves", ""),
        ("model=nobody", "model"),
        ("scorer=nobody", "scorer"),
        ("model=adder&format=xlsx", "format"),
        ("model=adder&rows=7", "rows"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_stored(service: FileService, query, field):
    refused = service.upload(f"/batches?{query}", adding(1))
    assert refused.status_code == 422, refused.text
    assert [error["field"] for error in refused.json["errors"]] == [field]
    assert (jobs(), folders(service)) == (0, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a,c\n1,2\n", "no column b; model adder needs it"),
        ("c\n1\n", "no column a, b; model adder needs them"),
        ("a,a,b\n1,1,1\n", "columns 1 and 2 have the same name"),
        ("a;b\n1;2\n", "separate them by commas"),
        ("", "empty"),
        ("\n\n", "blank lines"),
        (b"PAR1 whatever", "Parquet"),
    ],
)
def test_a_header_that_does_not_fit_leaves_no_folder_and_no_job(service: FileService, body, message):
    refused = service.upload("/batches?model=adder", body)
    assert (refused.status_code, refused.json["code"]) == (422, "bad_file")
    assert message in refused.json["detail"]
    assert (jobs(), folders(service)) == (0, [])


def test_a_file_without_rows_fails_its_job_and_says_so(service: FileService):
    done = predicted(service, "a,b\n")
    assert (done["state"], done["error"]["code"]) == ("failed", "bad_file")
    assert done["error"]["message"] == "the file has no rows, only a header"


def test_a_part_whose_worker_was_killed_is_done_again_and_its_rows_are_there_once(service: FileService, small_parts):
    body = adding(30) + "x,1\n"
    whole = predicted(service, body)
    accepted = service.upload("/batches?model=adder", body)
    service.run(most=2)  # the file is laid out, and the first part is done
    kind, _queue, part = service.doorbell.rings.pop(0)
    claim(service.kinds[kind], part, worker="killed", lease=LEASE)
    folder = service.storage.folder(UUID(accepted.json["id"])) / "parts"
    (folder / "000001-result.csv").write_bytes(b"row,prediction\n9,half a li")
    service.run()
    assert service.work(accepted.json["id"])["state"] == "waiting"
    with transaction() as session:
        lost = update(Job).where(Job.id == part).values(lease_until=datetime.now(UTC) - timedelta(seconds=1))
        session.execute(lost)
    reconcile(service.doorbell, patience=timedelta(0))
    done = service.finish(accepted)
    assert done["state"] == "succeeded"
    for role in ("result", "errors"):
        assert service.file(done["id"], role) == service.file(whole["id"], role)


def test_a_batch_that_is_cancelled_between_parts_ends_and_leaves_no_result(service: FileService, small_parts):
    accepted = service.upload("/batches?model=adder", adding(30))
    service.run(most=2)
    job_id = accepted.json["id"]
    assert service.client.post(f"/api/ml/jobs/{job_id}/cancel").status_code == 200
    service.run()
    ended = service.work(job_id)
    assert (ended["state"], ended["parts_done"], ended["files"], ended["result"]) == ("cancelled", 1, [], None)
    assert 0 < ended["done"] < ended["rows"]
    assert {part.state for part in parts_of(job_id)} == {"succeeded", "cancelled"}
    assert service.client.get(f"/api/ml/jobs/{job_id}/files/result").status_code == 404


def test_a_batch_never_mixes_two_versions_of_a_model(service: FileService, small_parts, models_dir, monkeypatch):
    monkeypatch.setattr("backend.jobs.finish.pause_after", lambda *_: timedelta(0))
    accepted = service.upload("/batches?model=adder", adding(30))
    service.run(most=2)
    write_sum(models_dir, "adder", version="2", offset=100.0)
    service.app.extensions["models"]._slots.clear()  # as a worker that started anew
    while service.run():
        reconcile(service.doorbell, patience=timedelta(0))
    ended = service.work(accepted.json["id"])
    assert (ended["state"], ended["files"]) == ("failed", [])
    assert "is not there any more; submit the work again" in ended["error"]["message"]


def test_a_batch_ends_with_the_version_that_it_began_with(
    service: FileService, small_parts, models_dir, tmp_path, monkeypatch
):
    begun = service.upload("/batches?model=adder", adding(30))
    service.run(most=2)
    client = service.app.extensions["models"]
    monkeypatch.setattr("backend.registry.intake.check_folder", lambda *_, **__: Checked(1, 0.1))
    registry = service.app.extensions["registry"]
    # The same weights: two versions may differ in nothing but their calibration.
    folder = write_sum(tmp_path / "made", "adder", version="2", calibration=Calibration(slope=2.0, intercept=0.0))
    register_folder(registry, folder, by="Asha", source="test", tags={}, at=utc_now(), threads=1)
    options = {"by": "Bala", "reason": "a test", "check": lambda _: Checked(1, 0.1), "hints": registry_hints()}
    promote(registry, model="adder", version="2", alias=Alias.PRODUCTION, **options)
    client.look()
    assert client.manifest("adder").version == "2"
    ended = service.finish(begun)
    assert (ended["state"], ended["result"]["models"]) == ("succeeded", {"adder": "1"})
    later = service.finish(service.upload("/batches?model=adder", adding(30)))
    assert later["result"]["models"] == {"adder": "2"}


def registry_hints():
    class Silent:
        def give(self, model: str) -> None:
            assert model == "adder"

    return Silent()


def test_an_upload_that_vanished_ends_the_batch_with_what_to_do(service: FileService, small_parts):
    before = service.upload("/batches?model=adder", adding(30))
    service.storage.remove(UUID(before.json["id"]))
    ended = service.finish(before)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "bad_file")
    assert ended["error"]["message"] == "the upload is no longer there; send the file again"
    between = service.upload("/batches?model=adder", adding(30))
    service.run(most=2)
    service.storage.remove(UUID(between.json["id"]))
    ended = service.finish(between)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "part_failed")
    assert "the upload is no longer there; send the file again" in ended["error"]["message"]
    assert folders(service) == []


def test_an_upload_that_was_cut_off_between_parts_fails_the_batch(service: FileService, small_parts):
    accepted = service.upload("/batches?model=adder", adding(30))
    service.run(most=1)
    path = service.storage.folder(UUID(accepted.json["id"])) / "input.csv"
    path.write_bytes(path.read_bytes()[:70])
    ended = service.finish(accepted)
    assert ended["state"] == "failed"
    assert "cut off after it was laid out" in ended["error"]["message"]


def test_two_batches_at_the_same_time_keep_their_rows_apart(service: FileService, small_parts):
    first = service.upload("/batches?model=adder", adding(20))
    second = service.upload("/batches?model=counter", "n,x\n" + "".join(f"{n},0\n" for n in range(20)))
    service.run()
    alone = predicted(service, adding(20))
    assert service.file(first.json["id"], "result") == service.file(alone["id"], "result")
    assert service.rows(second.json["id"], "result")[19] == {"row": "20", "prediction": "20"}


def test_blocks_of_a_part_are_written_in_their_order(service: FileService, monkeypatch):
    monkeypatch.setattr("backend.tabular.text.BLOCK_ROWS", 3)
    done = predicted(service, adding(20))
    assert [row["row"] for row in service.rows(done["id"], "result")] == [str(row) for row in range(1, 21)]
