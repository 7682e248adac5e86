"""The files of jobs: whole or not at all, and gone when nobody needs them."""

import hashlib
import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.clock import utc_now
from backend.errors import Gone, NotFound, Unavailable
from backend.extensions import transaction
from backend.files.storage import Storage, current_storage, measure
from backend.files.sweep import UPLOADING, sweep
from backend.files.tables import JobFile
from backend.files.views import find_file, list_files
from backend.jobs.submit import cancel, submit
from tests.unit.conftest import Number


@pytest.fixture
def storage(app) -> Storage:
    return current_storage()


def a_finished_job(kind, storage: Storage, *names: str) -> UUID:
    job_id = submit(kind, Number()).id
    folder = storage.create(job_id)
    for name in names:
        (folder / name).write_bytes(b"x,y\n")
    cancel(job_id)
    return job_id


def enter(job_id: UUID, role: str, *, expires_in: timedelta = timedelta(days=1)) -> None:
    now = utc_now()
    with transaction() as session:
        file = {"format": "csv", "bytes": 4, "sha256": "0" * 64, "created_at": now, "expires_at": now + expires_in}
        session.add(JobFile(job_id=job_id, role=role, **file))


def test_a_file_is_measured_as_it_comes_in(storage: Storage):
    job_id = uuid4()
    stored = storage.receive(job_id, "input.csv", [b"a,b\n", b"1,2\n"])
    path = storage.folder(job_id) / "input.csv"
    assert path.read_bytes() == b"a,b\n1,2\n"
    assert (stored.bytes, stored.sha256) == (8, hashlib.sha256(b"a,b\n1,2\n").hexdigest())
    assert measure(path) == stored
    assert path.parent.stat().st_mode & 0o077 == 0, "nobody else may look into it"


def test_an_upload_that_breaks_off_leaves_nothing(storage: Storage):
    def breaks_off():
        yield b"a,b\n"
        raise ConnectionError

    job_id = uuid4()
    with pytest.raises(ConnectionError):
        storage.receive(job_id, "input.csv", breaks_off())
    assert not storage.folder(job_id).exists()
    assert list(storage.jobs()) == []


@pytest.mark.parametrize("size", [10, 10**6])
def test_a_full_disk_is_unavailable_however_much_was_still_to_be_written(storage: Storage, monkeypatch, size):
    monkeypatch.setattr(Path, "open", lambda _path, _mode: open("/dev/full", "wb"))  # noqa: PTH123, SIM115
    job_id = uuid4()
    with pytest.raises(Unavailable, match="the disk is full"):
        storage.receive(job_id, "input.csv", [b"x" * size])
    assert not storage.folder(job_id).exists()


def test_a_folder_that_cannot_be_written_is_unavailable_and_says_which(tmp_path):
    (tmp_path / "files").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="the folder 'files' of the data folder cannot be used: Not a directory"):
        Storage(tmp_path / "files").create(uuid4())


def test_an_unfinished_job_keeps_everything(storage: Storage, kind, doorbell):
    job_id = submit(kind, Number()).id
    (storage.create(job_id) / "input.csv").write_bytes(b"")
    assert sweep(storage, now=utc_now()) == 0
    assert (storage.folder(job_id) / "input.csv").exists()


def test_a_finished_job_keeps_only_what_can_be_downloaded(storage: Storage, kind, doorbell):
    job_id = a_finished_job(kind, storage, "input.csv", "result.csv")
    (storage.folder(job_id) / "parts").mkdir()
    enter(job_id, "result")
    assert sweep(storage, now=utc_now()) == 2
    assert [path.name for path in storage.folder(job_id).iterdir()] == ["result.csv"]
    assert [file.role for file in list_files(job_id)] == ["result"]


def test_a_job_that_ended_without_files_leaves_no_folder(storage: Storage, kind, doorbell):
    job_id = a_finished_job(kind, storage, "input.csv")
    sweep(storage, now=utc_now())
    assert not storage.folder(job_id).exists()


def test_an_expired_file_is_removed_and_gone_not_unknown(storage: Storage, kind, doorbell):
    job_id = a_finished_job(kind, storage, "result.csv")
    enter(job_id, "result", expires_in=timedelta(seconds=-1))
    with pytest.raises(Gone, match="submit it again"):
        find_file(storage, job_id, "result", now=utc_now())
    sweep(storage, now=utc_now())
    assert not storage.folder(job_id).exists()
    assert list_files(job_id) == []
    with pytest.raises(Gone):
        find_file(storage, job_id, "result", now=utc_now())
    with pytest.raises(NotFound):
        find_file(storage, job_id, "errors", now=utc_now())


def test_an_upload_of_no_job_is_left_for_an_hour_and_then_removed(storage: Storage, kind, doorbell):
    job_id = uuid4()
    storage.receive(job_id, "input.csv", [b"a\n"])
    (storage.folder(job_id).parent / "not-ours").mkdir()
    assert sweep(storage, now=utc_now()) == 0
    old = time.time() - UPLOADING.total_seconds() - 1
    for path in (storage.folder(job_id) / "input.csv", storage.folder(job_id)):
        os.utime(path, (old, old))
    assert sweep(storage, now=utc_now()) == 1
    assert not storage.folder(job_id).exists()
    assert (storage.folder(job_id).parent / "not-ours").exists()


def test_two_workers_may_sweep_at_once(storage: Storage, kind, doorbell, monkeypatch):
    job_id = a_finished_job(kind, storage, "input.csv")
    monkeypatch.setattr(Storage, "jobs", lambda _self: iter([job_id]))  # seen by both before either removed it
    assert sweep(storage, now=utc_now()) == 1
    assert sweep(storage, now=utc_now()) == 0
