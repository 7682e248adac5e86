"""Files on real workers: predicted and imported once whatever is killed, refused clearly, gone when they are over."""

import csv
import hashlib
import io
import json
import os
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings
from tests.integration.conftest import Valkey
from tests.integration.stack import Answer, Stack, wait_until

MODEL = "donor_seeker_match"
BATCHES = f"/api/ml/batches?model={MODEL}"
REVIEW = "/api/ml/stock/review"  # a short job of the batch queue
CSV, NDJSON, PARQUET = (
    {"Content-Type": media_type}
    for media_type in ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
)
ROWS = 60_000
NOTES = "x" * 1_000  # makes a file of 60,000 rows as wide as takes several parts
BAD_EVERY = 7_000


@pytest.fixture(scope="module")
def golden() -> tuple[list[str], list[list[str]]]:
    """The model's columns, and rows that it can answer, as cells of a CSV file."""
    model = Catalogue(load_settings().models_dir).read(MODEL)
    rows = [["" if cell is None or cell != cell else repr(cell) for cell in row] for row in model.golden.rows]  # noqa: PLR0124 - NaN
    return [column.name for column in model.manifest.columns], rows


@pytest.fixture(scope="module")
def large(golden, tmp_path_factory) -> Iterator[Path]:
    """A file of several parts, with a row here and there that cannot be read."""
    columns, rows = golden
    path = tmp_path_factory.mktemp("large") / "rows.csv"
    chance = random.Random(6)  # noqa: S311 - rows, not secrets
    with path.open("w") as file:
        file.write(",".join([*columns, "notes"]) + "\n")
        for number in range(1, ROWS + 1):
            cells = list(chance.choice(rows))
            if number % BAD_EVERY == 0:
                cells[0] = "many"
            file.write(",".join([*cells, NOTES]) + "\n")
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Stack]:
    folder, valkey = tmp_path_factory.mktemp("files"), Valkey()
    stack = Stack(folder, database_url=f"sqlite:///{folder / 'test.sqlite'}", broker_url=valkey.url)
    stack.migrate()
    stack.start_api()
    stack.start_workers()
    stack.start_beat()
    stack.wait_ready()
    yield stack
    stack.stop()
    valkey.stop()


def accepted(answer: Answer) -> str:
    assert answer.status == 202, answer
    return str(answer.body["id"])


def work(stack: Stack, job_id: str) -> dict[str, Any]:
    answer = stack.call("GET", f"/api/ml/batches/{job_id}")
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def finished(stack: Stack, job_id: str, *, seconds: float = 60) -> dict[str, Any]:
    wait_until(lambda: work(stack, job_id)["finished_at"] is not None, seconds=seconds, what=stack.tail("batch"))
    return work(stack, job_id)


def succeeded(stack: Stack, job_id: str) -> dict[str, Any]:
    done = finished(stack, job_id)
    assert done["state"] == "succeeded", done["error"]
    return done


def started(stack: Stack, job_id: str, *, parts: int = 1) -> None:
    """Wait until some of the parts are done."""
    wait_until(lambda: work(stack, job_id)["parts_done"] >= parts, seconds=30, what=stack.tail("batch"))


def table(stack: Stack, job_id: str, role: str) -> list[dict[str, str]]:
    answer = stack.call("GET", f"/api/ml/jobs/{job_id}/files/{role}")
    assert answer.status == 200, answer
    return list(csv.DictReader(io.StringIO(answer.body)))


def folder(stack: Stack, job_id: str) -> Path:
    return stack.root / "files" / job_id


def folders(stack: Stack) -> set[str]:
    return {path.name for path in (stack.root / "files").glob("*")}


def jobs(stack: Stack) -> set[str]:
    return {job["id"] for job in stack.call("GET", "/api/ml/jobs?limit=500").body["jobs"]}


def kill_in_a_part(stack: Stack, job_id: str) -> dict[str, Any]:
    """Kill the batch worker while it works on a part, with others done and others to do; return how far it was."""

    def stopped_in_a_part() -> bool:
        stack.signal("batch", signal.SIGSTOP)
        parts = stack.call("GET", f"/api/ml/jobs?parent_id={job_id}&state=running").body["jobs"]
        if not parts:
            stack.signal("batch", signal.SIGCONT)
        return bool(parts)

    started(stack, job_id)
    wait_until(stopped_in_a_part, seconds=20)
    stack.kill("batch")
    left = work(stack, job_id)
    assert left["state"] == "waiting"
    assert 0 < left["parts_done"] < left["parts"] - 1
    return left


def restart(stack: Stack) -> None:
    stack.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)


def attempts(stack: Stack, job_id: str) -> list[int]:
    return [part["attempt"] for part in stack.call("GET", f"/api/ml/jobs?parent_id={job_id}&limit=500").body["jobs"]]


def test_a_batch_whose_worker_is_killed_has_every_row_once_and_the_bytes_of_an_undisturbed_one(running, large):
    undisturbed = let_another_job_pass_between_its_parts(running, large)
    job_id = accepted(running.upload(BATCHES, large, CSV))
    kill_in_a_part(running, job_id)
    restart(running)
    done = succeeded(running, job_id)
    assert max(attempts(running, job_id)) == 2

    bad = list(range(BAD_EVERY, ROWS + 1, BAD_EVERY))
    assert (done["rows"], done["done"], done["failed"]) == (ROWS, ROWS, len(bad))
    assert [int(row["row"]) for row in table(running, job_id, "errors")] == bad
    rows = [int(row["row"]) for row in table(running, job_id, "result")]
    assert rows == [number for number in range(1, ROWS + 1) if number % BAD_EVERY]
    digests = [{file["role"]: file["sha256"] for file in work(running, one)["files"]} for one in (undisturbed, job_id)]
    assert digests[0] == digests[1]
    content = (folder(running, job_id) / "result.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digests[1]["result"]


def let_another_job_pass_between_its_parts(stack: Stack, large: Path) -> str:
    job_id = accepted(stack.upload(BATCHES, large, CSV))
    started(stack, job_id)
    other = stack.call("POST", REVIEW, {}, {"Prefer": "wait=30"}, timeout=40)
    assert (other.status, other.body["state"]) == (200, "succeeded")
    batch = work(stack, job_id)
    assert batch["state"] == "waiting", "the other job did not wait for the end of the batch"
    assert batch["parts_done"] < batch["parts"]
    succeeded(stack, job_id)
    assert max(attempts(stack, job_id)) == 1
    return job_id


def test_a_batch_cancelled_in_its_middle_leaves_nothing_and_frees_its_worker(running, large):
    job_id = accepted(running.upload(BATCHES, large, CSV))
    started(running, job_id)
    asked = running.call("POST", f"/api/ml/jobs/{job_id}/cancel")
    assert asked.status in (200, 202)
    other = running.call("POST", REVIEW, {}, {"Prefer": "wait=10"}, timeout=20)
    assert (other.status, other.body["state"]) == (200, "succeeded"), "the worker takes other work at once"
    assert finished(running, job_id, seconds=5)["state"] == "cancelled"
    states = {part["state"] for part in running.call("GET", f"/api/ml/jobs?parent_id={job_id}").body["jobs"]}
    assert states == {"succeeded", "cancelled"}
    wait_until(lambda: not folder(running, job_id).exists(), seconds=25, what=running.tail("batch"))
    assert running.call("GET", f"/api/ml/jobs/{job_id}/files/result").status == 404


def test_an_upload_that_is_cut_off_leaves_nothing_and_the_next_one_is_taken(running, golden):
    before = jobs(running), folders(running)
    content = table_of(golden, rows=2_000)
    half = content[: len(content) // 2]
    size = f"{len(half):x}".encode()
    for header, sent in (
        (f"Content-Length: {len(content)}", half),
        ("Transfer-Encoding: chunked", size + b"\r\n" + half + b"\r\n"),  # without the chunk that says it is the last
        ("Transfer-Encoding: chunked", f"{len(content):x}".encode() + b"\r\n" + half),
    ):
        with begun_upload(running, header, sent):
            wait_until(lambda: folders(running) > before[1], seconds=10)
        wait_until(lambda: folders(running) == before[1], seconds=10, what=running.tail("api"))
    assert jobs(running) == before[0]

    in_chunks = (content[start : start + 10_000] for start in range(0, len(content), 10_000))
    done = succeeded(running, accepted(running.upload(BATCHES, in_chunks, CSV)))
    assert (done["rows"], done["failed"]) == (2_000, 0)


def table_of(golden, *, rows: int) -> bytes:
    columns, cells = golden
    lines = (",".join(row) for row in islice(cycle(cells), rows))
    return "\n".join([",".join(columns), *lines]).encode()


@contextmanager
def begun_upload(stack: Stack, header: str, sent: bytes) -> Iterator[None]:
    """Send the head of a request and the beginning of its body; at the end the connection is gone."""
    head = f"POST {BATCHES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n{header}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(head.encode() + sent)
        yield


HEADER = b"external_id,blood_group,born_on,latitude,longitude,consented,name\n"
DONOR = b"D-1,B+,1990-02-01,10.1,76.3,yes,Asha K\n"


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "said"),
    [
        ("imports/donors", b"PAR1 nothing of the kind PAR1", PARQUET, 422, "Parquet"),
        ("imports/donors", HEADER + DONOR, PARQUET, 422, "does not begin with PAR1"),
        ("imports/donors", b"PAR1" + DONOR, PARQUET, 422, "cut off"),
        ("imports/donors", b"blood_group,weight\nB+,60\n", CSV, 422, "columns that are not known: weight"),
        ("imports/donors", HEADER.replace(b",", b";") + DONOR, CSV, 422, "semicolons"),
        ("imports/donors", b"", CSV, 422, "the file is empty"),
        ("imports/donors", "external_id,Geb\u00e4ude\n".encode("latin-1"), CSV, 422, "is not UTF-8"),
        ("imports/donors", (HEADER + DONOR).decode().encode("utf-16"), CSV, 422, "save it as UTF-8"),
        ("imports/donors", HEADER + DONOR, {"Content-Type": "application/pdf"}, 415, "text/csv"),
        ("imports/donors", HEADER + DONOR, CSV | {"Content-Encoding": "gzip"}, 415, "without Content-Encoding"),
        ("imports/planets", HEADER + DONOR, CSV, 404, "there are banks, donations, donors"),
        ("batches?model=oracle", HEADER + DONOR, CSV, 422, "no model 'oracle'; the catalogue has donor_availability"),
        ("batches?scorer=blood.horoscope", HEADER + DONOR, CSV, 422, "scorer"),
        ("batches", HEADER + DONOR, CSV, 422, "either model or scorer"),
        (f"batches?model={MODEL}", HEADER + DONOR, CSV, 422, "the file has no column"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason_and_nothing_is_kept(
    running, *, path, content, headers, status, said
):
    before = jobs(running), folders(running)
    answer = running.upload(f"/api/ml/{path}", content, headers)
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert said in answer.body["detail"]
    assert (jobs(running), folders(running)) == before


def test_rows_that_cannot_be_used_are_listed_with_the_reason_and_the_others_are_stored(running):
    rows = (
        DONOR,
        DONOR.replace(b"D-1", b"D-2").replace(b"Asha", "Ash\u00e4".encode("latin-1")),
        DONOR.replace(b"D-1", b"D-3").replace(b"\n", b"," * 193 + b"\n"),  # 200 cells
        DONOR.replace(b"D-1", b"D-4").replace(b"Asha K", b"=HYPERLINK(1)"),
        DONOR.replace(b"D-1", b"D-5").replace(b"B+", b"C+").replace(b"1990", b"2990"),
        DONOR.replace(b"D-1", b"D-6").replace(b"Asha K", "\u0d06\u0d36".encode()),
        DONOR.replace(b"Asha", b"Biju"),
    )
    done = succeeded(running, accepted(running.upload("/api/ml/imports/donors", HEADER + b"".join(rows), CSV)))
    result = done["result"]
    assert (result["rows"], result["created"], result["failed"]) == (7, 2, 5)
    errors = table(running, done["id"], "errors")
    assert [(error["row"], error["column"]) for error in errors] == [
        ("2", ""),
        ("3", ""),
        ("4", "name"),
        ("5", "blood_group"),
        ("5", "born_on"),
        ("7", "external_id"),
    ]
    for error, said in zip(errors, ("UTF-8", "200", "formula", "blood group", "future", "row 1"), strict=True):
        assert said in error["reason"]
        assert "HYPERLINK" not in error["reason"]


DONORS = 10_000
NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = {
    "donors": "donor",
    "requests": "blood_request",
    "donations": "donation",
    "banks": "blood_bank",
    "units": "blood_unit",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def importing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    if request.param == "sqlite":
        yield request.getfixturevalue("running")
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    stack = Stack(tmp_path, database_url=request.getfixturevalue("postgresql"), broker_url=valkey.url)
    stack.migrate()
    stack.start_api()
    restart(stack)
    stack.start_beat()
    yield stack
    stack.stop()


def test_an_import_whose_worker_is_killed_stores_every_record_once_and_again_changes_nothing(importing):
    donors = donors_as_csv()
    job_id = accepted(importing.upload("/api/ml/imports/donors", donors, CSV))
    kill_in_a_part(importing, job_id)
    restart(importing)
    result = succeeded(importing, job_id)["result"]
    assert max(attempts(importing, job_id)) == 2
    assert counts(result) == {"created": DONORS, "updated": 0, "unchanged": 0, "failed": 1}
    assert stored(importing, "donors") == [f"K-{number}" for number in range(DONORS)]
    for name, (content, headers, created) in records_about_donors().items():
        once = imported(importing, name, content, headers)
        assert counts(once) == {"created": created, "updated": 0, "unchanged": 0, "failed": 1}, name
        assert len(stored(importing, name)) == created

    before = last_change(importing)
    again = imported(importing, "donors", donors, CSV)
    assert counts(again) == {"created": 0, "updated": 0, "unchanged": DONORS, "failed": 1}
    for name, (content, headers, created) in records_about_donors().items():
        again = imported(importing, name, content, headers)
        assert counts(again) == {"created": 0, "updated": 0, "unchanged": created, "failed": 1}, name
    assert last_change(importing) == before
    errors_can_be_downloaded_piece_by_piece(importing, job_id)


def donors_as_csv() -> bytes:
    """The donors K-0, K-1, …, and in the middle one that was not born yet."""
    name = "A" * 200  # makes several parts of the file
    rows = [f"K-{n},B+,1985-06-0{1 + n % 9},{9 + n % 300 / 100},76.3,yes,{name}" for n in range(DONORS)]
    rows.insert(DONORS // 2, f"K-unborn,B+,2985-06-01,10,76.3,yes,{name}")
    return HEADER + "\n".join(rows).encode()


def records_about_donors() -> dict[str, tuple[bytes, dict[str, str], int]]:
    """Files that refer to donors and to each other, with how many of their rows can be stored: all but one."""
    place = {"district": "Ernakulam", "latitude": 9.97, "longitude": 76.28}
    need = place | {"blood_group": "O+", "units_required": 2}
    requests = [need | {"external_id": f"K-R{number}", "urgency": 1 + number % 5} for number in range(9)]
    days = [(NOW - timedelta(days=100 + number)).isoformat() for number in range(500)]
    donations = [f"K-G{number},K-{number},{day}" for number, day in enumerate(days)]
    donations += [f"K-G500,K-nobody,{days[0]}"]
    banks = [place | {"external_id": f"K-B{number}", "name": f"Bank {number}"} for number in range(3)]
    units = pa.Table.from_pylist(
        [
            {
                "external_id": f"K-U{number}",
                "bank_external_id": f"K-B{number % 3}" if number else "K-nowhere",
                "blood_group": "O+",
                "product": "red_cells_cpda1",
                "collected_at": NOW - timedelta(days=number % 30),
            }
            for number in range(301)
        ]
    )
    parquet = io.BytesIO()
    pq.write_table(units, parquet)
    return {
        "requests": (as_ndjson(requests), NDJSON, 8),
        "donations": ("\n".join(["external_id,donor_external_id,at", *donations]).encode(), CSV, 500),
        "banks": (as_ndjson([*banks, {"external_id": "K-B9", "name": "", **place}]), NDJSON, 3),
        "units": (parquet.getvalue(), PARQUET, 300),
    }


def as_ndjson(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def imported(stack: Stack, name: str, content: bytes, headers: dict[str, str]) -> dict[str, Any]:
    job_id = accepted(stack.upload(f"/api/ml/imports/{name}", content, headers))
    result: dict[str, Any] = succeeded(stack, job_id)["result"]
    return result


def counts(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in ("created", "updated", "unchanged", "failed")}


def rows_of(stack: Stack, query: str) -> list[Any]:
    engine = create_engine(stack.env["SANGUINE_DATABASE_URL"])
    with engine.connect() as connection:
        rows = [row[0] for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def stored(stack: Stack, name: str) -> list[str]:
    """The external ids of the imported records, in the order in which they were stored."""
    return rows_of(stack, f"SELECT external_id FROM {TABLES[name]} WHERE external_id LIKE 'K-%' ORDER BY id")  # noqa: S608 - ours


def last_change(stack: Stack) -> list[Any]:
    return [rows_of(stack, f"SELECT max(updated_at) FROM {table}") for table in TABLES.values()]  # noqa: S608 - ours


def errors_can_be_downloaded_piece_by_piece(stack: Stack, job_id: str) -> None:
    path = f"/api/ml/jobs/{job_id}/files/errors"
    whole = stack.call("GET", path)
    assert whole.body.splitlines() == ["row,column,reason", f"{DONORS // 2 + 1},born_on,lies in the future"]
    pieces = [stack.call("GET", path, headers={"Range": one}) for one in ("bytes=0-19", "bytes=20-")]
    assert [piece.status for piece in pieces] == [206, 206]
    assert pieces[0].headers["Content-Range"] == f"bytes 0-19/{len(whole.body)}"
    assert "".join(piece.body for piece in pieces) == whole.body
    etag = {"If-None-Match": whole.headers["ETag"]}
    assert stack.call("GET", path, headers=etag).status == 304
    assert stack.call("GET", path, headers={"Range": "bytes=9999-"}).status == 416


def test_a_file_without_rows_fails_with_the_reason(running):
    job_id = accepted(running.upload("/api/ml/imports/donors", HEADER, CSV))
    done = finished(running, job_id)
    assert (done["state"], done["files"]) == ("failed", [])
    assert done["error"] == {"code": "bad_file", "message": "the file has no rows, only a header"}


def test_what_is_over_was_removed_and_what_can_be_downloaded_is_there(running):
    """Beat asks for the sweep every few seconds; most of the tests above took longer."""

    def kept() -> dict[str, set[str]]:
        below = os.walk(running.root / "files")
        return {Path(path).name: {*folders, *files} for path, folders, files in islice(below, 1, None)}

    def swept() -> bool:
        return not any({"parts", "input.csv", "input.ndjson", "input.parquet"} & names for names in kept().values())

    wait_until(swept, seconds=25, what=lambda: str(kept()))
    assert kept()
    for job_id, names in kept().items():
        assert names == {f"{file['role']}.{file['format']}" for file in work(running, job_id)["files"]} != set()
