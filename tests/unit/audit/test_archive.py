import gzip
import hashlib
import json
import os
import stat
import time
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest

from backend.audit import archive
from backend.audit.archive import read_archive, remove_stale_parts, write_archive
from backend.errors import ArchiveError

FIRST, LAST = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2025, 2, 3, tzinfo=UTC)
ROWS = [
    {
        "id": UUID(int=7),
        "at": FIRST,
        "day": date(2025, 1, 2),
        "score": 0.1,
        "reasons": [{"feature": "ä"}],
        "note": None,
    },
    {"id": UUID(int=8), "at": LAST, "day": date(2025, 2, 3), "score": 1.0, "reasons": [], "note": "x"},
]


def written(folder: Path, rows=ROWS) -> Path:
    return write_archive(folder, "job", rows, first=FIRST, last=LAST)


def test_rows_are_lines_of_json_in_a_file_named_by_times_and_digest_that_only_we_can_read(tmp_path: Path):
    path = written(tmp_path / "archive")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"job-20250102T030405Z-20250203T000000Z-{digest}.ndjson.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    first, second = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert first == {
        "id": "00000000-0000-0000-0000-000000000007",
        "at": "2025-01-02T03:04:05Z",
        "day": "2025-01-02",
        "score": 0.1,
        "reasons": [{"feature": "ä"}],
        "note": None,
    }
    assert second["note"] == "x"


def test_the_same_rows_give_the_same_file(tmp_path: Path, monkeypatch):
    path = written(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert written(tmp_path) == path
    assert list(tmp_path.iterdir()) == [path]


def test_other_rows_never_replace_a_file(tmp_path: Path):
    assert written(tmp_path) != written(tmp_path, ROWS[:1])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:20] + b"x" + content[21:]])
def test_a_damaged_file_is_refused(tmp_path: Path, damage):
    path = written(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArchiveError, match=path.name):
        read_archive(path)


def test_a_disk_that_writes_something_else_is_noticed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archive, "_write_durably", lambda path, content: path.write_bytes(content[:-4]))
    with pytest.raises(ArchiveError, match="digest"):
        written(tmp_path)


def test_a_failed_write_leaves_nothing_and_says_where(tmp_path: Path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveError, match="No space left on device"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_value_without_a_form_is_a_fault_of_ours_and_not_a_guess(tmp_path: Path):
    with pytest.raises(TypeError, match="object"):
        written(tmp_path, [{"at": object()}])


def test_what_a_killed_run_left_is_removed_after_a_day(tmp_path: Path):
    old, new = tmp_path / f"{archive.PARTIAL}a", tmp_path / f"{archive.PARTIAL}b"
    kept = written(tmp_path)
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    remove_stale_parts(tmp_path)
    assert set(tmp_path.iterdir()) == {new, kept}
    remove_stale_parts(tmp_path / "missing")
