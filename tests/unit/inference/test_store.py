"""The store that is a folder."""

import os
from pathlib import Path

import pytest

from backend.errors import ArtifactError, Conflict, Unavailable
from backend.inference.manifest import digest
from backend.inference.store import FolderStore
from tests.contract.store_contract import StoreContract, write


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "models")


class TestFolderStore(StoreContract):
    """What every store promises."""


def test_a_file_outside_the_folder_is_refused_also_through_a_link(store: FolderStore, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    folder = tmp_path / "models" / "adder" / "1"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(secret)
    for name in ("link", "../../../secret", str(secret)):
        with pytest.raises(ArtifactError, match="is not a file inside the models folder"):
            store.read("adder", "1", name, sha256=digest(b"secret"))


def test_what_is_no_readable_file_is_told(store: FolderStore, tmp_path: Path):
    folder = tmp_path / "models" / "adder" / "1"
    folder.mkdir(parents=True)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    for name in ("loop", "with\0nothing", "x" * 300):
        with pytest.raises(ArtifactError, match="cannot be read"):
            store.find("adder", "1", name)
    with pytest.raises(ArtifactError, match="is not a file"):
        store.find("adder", "1", "folder")


def test_a_published_folder_is_on_the_disk_before_it_has_its_name(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []
    rename = Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: seen.append(Path(f"/proc/self/fd/{file}").readlink().name))
    monkeypatch.setattr(Path, "rename", lambda self, target: (seen.append("rename"), rename(self, target))[1])
    write(tmp_path / "new")
    store.publish("adder", "1", tmp_path / "new")
    assert sorted(seen[:-2]) == ["CARD.md", "golden.json", "manifest.json", "new", "weights.txt"]
    assert seen[-2:] == ["rename", "adder"]


def test_a_folder_that_cannot_be_written_is_unavailable(store: FolderStore, tmp_path: Path):
    (tmp_path / "models").write_text("in the way", encoding="utf-8")
    write(tmp_path / "new")
    with pytest.raises(Unavailable, match="the models folder cannot be written"):
        store.publish("adder", "1", tmp_path / "new")
    with pytest.raises(Unavailable, match="the models folder cannot be written"):
        store.remove("adder", "1")


def test_a_publication_that_finds_a_folder_leaves_its_own_where_it_was(store: FolderStore, tmp_path: Path):
    write(tmp_path / "new")
    (tmp_path / "models" / "adder" / "1").mkdir(parents=True)
    (tmp_path / "models" / "adder" / "1" / "half").touch()
    with pytest.raises(Conflict):
        store.publish("adder", "1", tmp_path / "new")
    assert (tmp_path / "new" / "manifest.json").exists()
