"""Files on real workers: every row predicted once whatever is killed, bad ones refused, gone when they are over."""

import hashlib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import pytest

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings
from tests.integration.conftest import Valkey
from tests.integration.file_work import (
    CSV,
    PARQUET,
    accepted,
    attempts,
    finished,
    kill_in_a_part,
    start_batch_worker,
    started,
    succeeded,
    table,
    work,
)
from tests.integration.stack import Stack, wait_until

MODEL = "donor_seeker_match"
BATCHES = f"/api/ml/batches?model={MODEL}"
REVIEW = "/api/ml/stock/review"  # a short job of the batch queue
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
    stack.wait_ready(seconds=90)
    yield stack
    stack.stop()
    valkey.stop()


def folder(stack: Stack, job_id: str) -> Path:
    return stack.root / "files" / job_id


def folders(stack: Stack) -> set[str]:
    return {path.name for path in (stack.root / "files").glob("*")}


def jobs(stack: Stack) -> set[str]:
    return {job["id"] for job in stack.call("GET", "/api/ml/jobs?limit=500").body["jobs"]}


def test_a_batch_whose_worker_is_killed_has_every_row_once_and_the_bytes_of_an_undisturbed_one(running, large):
    undisturbed = let_another_job_pass_between_its_parts(running, large)
    job_id = accepted(running.upload(BATCHES, large, CSV))
    kill_in_a_part(running, job_id)
    start_batch_worker(running)
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
        ("imports/donors", b"blood_group,weight\nB+,60\n", CSV, 422, "columns that are not known: number 2"),
        ("imports/donors", HEADER.replace(b",", b";") + DONOR, CSV, 422, "semicolons"),
        ("imports/donors", b"", CSV, 422, "the file is empty"),
        ("imports/donors", "external_id,Geb\u00e4ude\n".encode("latin-1"), CSV, 422, "is not UTF-8"),
        ("imports/donors", (HEADER + DONOR).decode().encode("utf-16"), CSV, 422, "save it as UTF-8"),
        ("imports/donors", HEADER + DONOR, {"Content-Type": "application/pdf"}, 415, "text/csv"),
        ("imports/donors", HEADER + DONOR, CSV | {"Content-Encoding": "gzip"}, 415, "without Content-Encoding"),
        ("imports/planets", HEADER + DONOR, CSV, 404, "there are banks, donations, donors"),
        ("batches?model=oracle", HEADER + DONOR, CSV, 422, "no model 'oracle'; there are donor_availability"),
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


def test_a_file_without_rows_fails_with_the_reason(running):
    job_id = accepted(running.upload("/api/ml/imports/donors", HEADER, CSV))
    done = finished(running, job_id)
    assert (done["state"], done["files"]) == ("failed", [])
    assert done["error"] == {"code": "bad_file", "message": "the file has no rows, only a header"}


def test_what_is_over_is_removed_and_what_can_be_downloaded_stays(running, golden):
    done = succeeded(running, accepted(running.upload(BATCHES, table_of(golden, rows=10), CSV)))
    failed = finished(running, accepted(running.upload("/api/ml/imports/donors", HEADER, CSV)))
    wait_until(lambda: not folder(running, failed["id"]).exists(), seconds=25, what=running.tail("batch"))

    def kept() -> list[str]:
        return [path.name for path in folder(running, done["id"]).iterdir()]

    wait_until(lambda: kept() == ["result.csv"], seconds=25, what=lambda: str(kept()))
    assert [row["row"] for row in table(running, done["id"], "result")] == [str(number) for number in range(1, 11)]
