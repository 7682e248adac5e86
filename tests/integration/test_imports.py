"""Imports on real workers, on SQLite and PostgreSQL: every record once, whatever is killed and however often sent."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from tests.integration.file_work import (
    CSV,
    NDJSON,
    PARQUET,
    accepted,
    attempts,
    kill_in_a_part,
    start_batch_worker,
    succeeded,
)
from tests.integration.stack import Stack

DONORS = 10_000
NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = {
    "donors": "donor",
    "requests": "blood_request",
    "donations": "donation",
    "banks": "blood_bank",
    "units": "blood_unit",
}


@pytest.fixture
def running(stack: Stack) -> Stack:
    stack.migrate()
    stack.start_api()
    start_batch_worker(stack)
    stack.start_beat()
    return stack


def test_an_import_whose_worker_is_killed_stores_every_record_once_and_again_changes_nothing(running):
    donors = donors_as_csv()
    job_id = accepted(running.upload("/api/ml/imports/donors", donors, CSV))
    kill_in_a_part(running, job_id)
    start_batch_worker(running)
    result = succeeded(running, job_id)["result"]
    assert max(attempts(running, job_id)) == 2
    assert counts(result) == {"created": DONORS, "updated": 0, "unchanged": 0, "failed": 1}
    assert stored(running, "donors") == [f"K-{number}" for number in range(DONORS)]
    for name, (content, headers, created) in records_about_donors().items():
        once = imported(running, name, content, headers)
        assert counts(once) == {"created": created, "updated": 0, "unchanged": 0, "failed": 1}, name
        assert len(stored(running, name)) == created

    before = last_change(running)
    again = imported(running, "donors", donors, CSV)
    assert counts(again) == {"created": 0, "updated": 0, "unchanged": DONORS, "failed": 1}
    for name, (content, headers, created) in records_about_donors().items():
        again = imported(running, name, content, headers)
        assert counts(again) == {"created": 0, "updated": 0, "unchanged": created, "failed": 1}, name
    assert last_change(running) == before
    errors_can_be_downloaded_piece_by_piece(running, job_id)


def donors_as_csv() -> bytes:
    """The donors K-0, K-1, …, and in the middle one that was not born yet."""
    name = "A" * 200  # makes several parts of the file
    rows = [f"K-{n},B+,1985-06-0{1 + n % 9},{9 + n % 300 / 100},76.3,yes,{name}" for n in range(DONORS)]
    rows.insert(DONORS // 2, f"K-unborn,B+,2985-06-01,10,76.3,yes,{name}")
    return "\n".join(["external_id,blood_group,born_on,latitude,longitude,consented,name", *rows]).encode()


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
    return rows_of(stack, f"SELECT external_id FROM {TABLES[name]} ORDER BY id")  # noqa: S608 - ours


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
