import os
import stat
from pathlib import Path

import pytest

from backend.tabular.durable import durable_file


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path: Path, monkeypatch):
    path, synced = tmp_path / "file", []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
    )
    with durable_file(path) as file:
        file.write(b"x")
    assert synced == [(False, False), (True, True)]
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_error_leaves_what_was_there_before_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def _fail() -> None:
        with durable_file(path) as file:
            file.write(b"after")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _fail()
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"before"]
