"""Uploads and downloads over HTTP."""

import io
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from backend.clock import utc_now
from backend.extensions import transaction
from backend.files.tables import JobFile
from backend.jobs.execute import execute
from backend.tabular.formats import Format
from tests.unit.batches.file_service import FileService, folders, jobs

BANKS = "external_id,name,district,latitude,longitude\n"
BANK = "B1,General,Kollam,9.0,76.6\n"
BROKEN = BANKS + "B1,General,Kollam,95,76.6\n"


def is_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json["detail"]


def nothing_stored(service: FileService) -> bool:
    return jobs() == 0 and folders(service) == []


@pytest.fixture
def done(service: FileService):
    """An import that ended with a file of errors."""
    return service.finish(service.upload("/imports/banks", BROKEN))


@pytest.fixture
def url(done) -> str:
    return f"/api/ml/jobs/{done['id']}/files/errors"


def fetched(service: FileService, url: str, **headers: str):
    """Download a file with headers, and close it."""
    return service.client.get(
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}, buffered=True
    )


class CutOff(io.RawIOBase):
    """A body whose sender went away: it ends before its stated length."""

    def __init__(self, body: bytes) -> None:
        self._left = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        some = self._left.read(min(len(buffer), 7))
        buffer[: len(some)] = some
        return len(some)


def test_an_upload_is_accepted_with_where_to_ask_for_it(service: FileService):
    accepted = service.upload("/imports/banks", BANKS + BANK)
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"/api/ml/batches/{accepted.json['id']}"
    assert accepted.headers["Retry-After"] == "2"
    assert "Preference-Applied" not in accepted.headers
    assert service.client.get(accepted.headers["Location"]).json["state"] == "queued"
    service.run()
    polled = service.client.get(accepted.headers["Location"])
    assert polled.json["state"] == "succeeded"
    assert "Retry-After" not in polled.headers


@pytest.mark.parametrize("prefer", ["wait=5", None])
def test_who_waits_hears_of_the_end_in_the_answer(service: FileService, prefer):
    class Eager:
        def ring(self, kind, _queue, job_id, *, priority):
            assert priority == 3
            execute(service.kinds[kind], job_id, service.worker)

    service.app.extensions["doorbell"] = Eager()
    answer = service.upload("/imports/banks", BANKS + BANK, headers={"Prefer": prefer} if prefer else {})
    assert (answer.status_code, answer.json["result"]["created"]) == (200, 1)
    assert answer.headers["Location"].endswith(answer.json["id"])
    assert answer.headers.get("Preference-Applied") == ("wait" if prefer else None)


def test_who_waits_too_short_is_told_where_to_ask(service: FileService):
    answer = service.upload("/imports/banks", BANKS + BANK, headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.json["state"]) == (202, "queued")


@pytest.mark.parametrize("path", ["/imports/banks", "/batches?scorer=blood.availability"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "", "text/csv; charset=latin-1"])
def test_a_body_that_is_no_format_of_rows_is_a_415(service: FileService, path, content_type):
    refused = service.client.post(f"/api/ml{path}", data=BANKS, content_type=content_type)
    is_problem(refused, 415, "unsupported_media_type")
    assert nothing_stored(service)


def test_rows_as_json_are_no_import(service: FileService):
    is_problem(service.client.post("/api/ml/imports/banks", json={"rows": [{}]}), 415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_a_compressed_upload_is_a_415_that_says_what_to_do(service: FileService, encoding):
    refused = service.upload("/imports/banks", b"\x1f\x8b", headers={"Content-Encoding": encoding})
    assert "without Content-Encoding" in is_problem(refused, 415, "unsupported_media_type")
    assert nothing_stored(service)


def test_an_upload_that_is_too_large_is_a_413_with_its_own_limit(service: FileService, small_uploads):
    assert service.upload("/imports/banks", BANKS + "x" * (2_000 - len(BANKS) - 1) + "\n").status_code == 202
    before = jobs()
    refused = service.upload("/imports/banks", BANKS + "x" * 2_000)
    assert is_problem(refused, 413, "body_too_large") == "the body may have at most 2,000 bytes"
    assert (jobs(), len(folders(service))) == (before, before)


def test_rows_in_a_request_are_a_body_like_any_other_and_have_its_limit(service: FileService, small_uploads):
    body = {"scorer": "blood.availability", "rows": [{"donor_id": 1}] * 100}
    refused = service.client.post("/api/ml/batches", json=body)
    assert is_problem(refused, 413, "body_too_large") == "the body may have at most 1,000 bytes"


@pytest.mark.parametrize("sent", [0, 10, len(BANKS + BANK) - 1])
@pytest.mark.parametrize("server", [{}, {"wsgi.input_terminated": True}], ids=["plain", "like gunicorn"])
def test_an_upload_that_is_cut_off_is_a_400_and_nothing_is_stored(service: FileService, sent, server):
    body = (BANKS + BANK).encode()
    sender = {"wsgi.input": CutOff(body[:sent]), "CONTENT_LENGTH": str(len(body)), **server}
    refused = service.upload("/imports/banks", b"", environ_overrides=sender)
    detail = is_problem(refused, 400, "bad_request")
    assert "cut off after" in detail
    assert "nothing was stored, send it again" in detail
    assert nothing_stored(service)


def test_a_file_is_sent_whole_with_its_digest_name_and_expiry(service: FileService, done, url):
    (file,) = done["files"]
    sent = fetched(service, url)
    assert (sent.status_code, len(sent.data)) == (200, file["bytes"])
    assert sent.headers["ETag"] == f'"{file["sha256"]}"'
    assert sent.headers["Content-Type"].startswith(Format.CSV.media_type)
    assert f"{done['id']}-errors.csv" in sent.headers["Content-Disposition"]
    assert sent.headers["Cache-Control"] == "private, no-cache"
    assert service.client.head(url, buffered=True).headers["Content-Length"] == str(file["bytes"])


@pytest.mark.parametrize(
    ("asked", "of"), [("bytes=0-3", slice(0, 4)), ("bytes=4-", slice(4, None)), ("bytes=-5", slice(-5, None))]
)
def test_a_range_is_sent_by_itself(service: FileService, url, asked, of):
    whole = fetched(service, url).data
    sent = fetched(service, url, Range=asked)
    assert (sent.status_code, sent.data) == (206, whole[of])
    assert sent.headers["Content-Range"].endswith(f"/{len(whole)}")


def test_a_download_goes_on_only_in_the_same_file(service: FileService, done, url):
    tag = f'"{done["files"][0]["sha256"]}"'
    assert fetched(service, url, Range="bytes=4-", If_Range=tag).status_code == 206
    assert fetched(service, url, Range="bytes=4-", If_Range='"other"').status_code == 200


@pytest.mark.parametrize(
    "asked", ["bytes=100000-", "bytes=5-2", "bytes=" + "0-0," * 1_000 + "1-1", "bytes=1" + "0" * 30 + "-"]
)
def test_a_range_outside_the_file_is_a_416(service: FileService, url, asked):
    is_problem(fetched(service, url, Range=asked), 416, "requested_range_not_satisfiable")


def test_who_has_the_file_already_is_told_so(service: FileService, done, url):
    tag = f'"{done["files"][0]["sha256"]}"'
    assert fetched(service, url, If_None_Match=tag).status_code == 304
    assert fetched(service, url, If_None_Match='"other"').status_code == 200


def test_a_file_that_expired_is_a_410_whether_swept_or_not(service: FileService, done, url):
    with transaction() as session:
        session.execute(update(JobFile).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert done["id"] in is_problem(service.client.get(url), 410, "gone")
    service.storage.remove(UUID(done["id"]))
    is_problem(service.client.get(url), 410, "gone")


def test_a_file_that_vanished_is_a_410(service: FileService, done, url):
    service.storage.remove(UUID(done["id"]))
    is_problem(service.client.get(url), 410, "gone")


def test_what_never_was_is_a_404(service: FileService, done):
    job = f"/api/ml/jobs/{done['id']}/files"
    for path in (
        f"{job}/result",
        f"{job}/input",
        f"{job}/errors.csv",
        f"{job}/..",
        f"{job}/../x",
        f"{job}/%2e%2e%2fx",
        f"{job}/%2Fetc%2Fpasswd",
        f"/api/ml/jobs/{uuid4()}/files",
        f"/api/ml/jobs/{uuid4()}/files/errors",
        f"/api/ml/batches/{uuid4()}",
        "/api/ml/batches/1",
    ):
        is_problem(service.client.get(path), 404, "not_found")


def test_the_upload_and_the_parts_are_not_for_download(service: FileService, done):
    names = {path.name for path in service.storage.folder(UUID(done["id"])).iterdir()}
    assert {"input.csv", "parts"} <= names
    for name in names - {"errors.csv"}:
        is_problem(service.client.get(f"/api/ml/jobs/{done['id']}/files/{name}"), 404, "not_found")


def test_the_files_of_a_job_are_its_own(service: FileService, done):
    other = service.finish(service.upload("/imports/banks", BROKEN + BROKEN.splitlines()[1] + "x\n"))
    listed = service.client.get(f"/api/ml/jobs/{done['id']}/files").json["files"]
    assert listed == done["files"]
    assert service.file(done["id"], "errors") != service.file(other["id"], "errors")


def test_a_job_without_files_has_an_empty_list(service: FileService):
    accepted = service.upload("/imports/banks", BANKS + BANK)
    assert service.client.get(f"/api/ml/jobs/{accepted.json['id']}/files").json == {"files": []}


def test_an_answer_never_repeats_what_was_in_the_file(service: FileService):
    body = BANKS.replace("name", "Asha Menon") + BANK
    refused = service.upload("/imports/banks", body)
    assert refused.status_code == 422
    result = service.finish(service.upload("/imports/banks", BANKS + "B1,Asha Menon,Nowhere Asha,x,y\n"))
    assert "Asha" not in service.file(result["id"], "errors").decode()
