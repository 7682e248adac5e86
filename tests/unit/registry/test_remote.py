"""The store behind fsspec: what it keeps on this machine, and what it does when the other end is away."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from backend.errors import ArtifactError, Conflict, SettingsError, Unavailable
from backend.inference.catalogue import read_artifact
from backend.inference.manifest import MANIFEST, CatalogueEntry
from backend.inference.trust import SIGNATURE
from backend.registry.remote import RemoteStore
from tests.contract.store_contract import MODEL, VERSION, StoreContract, write

URL = "memory://models/sanguine"
PLACE = f"/models/sanguine/{MODEL}/{VERSION}"


@pytest.fixture
def there() -> Iterator[fsspec.AbstractFileSystem]:
    """The other end."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def store(there: fsspec.AbstractFileSystem, tmp_path: Path) -> RemoteStore:
    return RemoteStore(URL, tmp_path / "cache")


@pytest.fixture
def entry(store: RemoteStore, tmp_path: Path) -> CatalogueEntry:
    entry = write(tmp_path / "new")
    store.publish(MODEL, VERSION, tmp_path / "new")
    return entry


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other end does not answer."""

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError

    for operation in ("cat_file", "exists", "put_file", "find", "open"):
        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), operation, fail)


class TestRemoteStore(StoreContract):
    """What every store promises."""


def test_what_was_read_once_is_read_without_the_other_end(store: RemoteStore, entry: CatalogueEntry, request):
    read_artifact(store, MODEL, entry)
    request.getfixturevalue("away")
    assert read_artifact(store, MODEL, entry).weights == b"0.5"


def test_what_was_never_read_is_unavailable_while_the_other_end_is_away(store: RemoteStore, entry, away, tmp_path):
    with pytest.raises(Unavailable, match=r"the model store memory://models/sanguine does not answer \(TimeoutError\)"):
        read_artifact(store, MODEL, entry)
    with pytest.raises(Unavailable):
        store.find(MODEL, VERSION, SIGNATURE)
    with pytest.raises(Unavailable):
        store.publish(MODEL, "2", tmp_path / "new")
    with pytest.raises(Unavailable):
        store.remove(MODEL, VERSION)


def test_a_signature_that_was_seen_is_found_while_the_other_end_is_away(store: RemoteStore, tmp_path: Path, request):
    write(tmp_path / "new")
    (tmp_path / "new" / SIGNATURE).write_bytes(b"signed")
    store.publish(MODEL, VERSION, tmp_path / "new")
    store.find(MODEL, VERSION, SIGNATURE)
    request.getfixturevalue("away")
    assert store.find(MODEL, VERSION, SIGNATURE) == b"signed"


def test_a_spoilt_file_of_the_cache_is_fetched_again(store: RemoteStore, entry: CatalogueEntry, tmp_path: Path):
    read_artifact(store, MODEL, entry)
    kept = tmp_path / "cache" / MODEL / VERSION / "weights.txt"
    kept.write_bytes(b"0.")
    assert read_artifact(store, MODEL, entry).weights == b"0.5"
    assert kept.read_bytes() == b"0.5"


def test_what_is_altered_at_the_other_end_is_refused_and_never_kept(store, there, entry, tmp_path: Path):
    there.pipe_file(f"{PLACE}/weights.txt", b"0.6")
    with pytest.raises(ArtifactError, match=r"weights\.txt of version 1 is truncated or altered"):
        read_artifact(store, MODEL, entry)
    assert not (tmp_path / "cache" / MODEL / VERSION / "weights.txt").exists()
    there.pipe_file(f"{PLACE}/weights.txt", b"0.5")  # restored
    assert read_artifact(store, MODEL, entry).weights == b"0.5"


def test_a_publication_that_broke_off_is_no_version_and_goes_on(store, there, tmp_path, monkeypatch):
    entry = write(tmp_path / "new")
    put = fsspec.get_filesystem_class("memory").put_file

    def fail_at_the_manifest(self: object, path: str, *rest: object, **options: object) -> None:
        if path.endswith(MANIFEST):
            raise ConnectionResetError
        put(self, path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.get_filesystem_class("memory"), "put_file", fail_at_the_manifest)
        with pytest.raises(Unavailable):
            store.publish(MODEL, VERSION, tmp_path / "new")
    with pytest.raises(ArtifactError, match=r"manifest\.json of version 1 is missing"):
        read_artifact(store, MODEL, entry)
    store.publish(MODEL, VERSION, tmp_path / "new")
    assert read_artifact(store, MODEL, entry).weights == b"0.5"


def test_files_of_another_publication_are_never_overwritten(store, there, tmp_path: Path):
    there.pipe_file(f"{PLACE}/weights.txt", b"of somebody else")
    write(tmp_path / "new")
    with pytest.raises(Conflict, match="is there already with other files"):
        store.publish(MODEL, VERSION, tmp_path / "new")
    assert there.cat_file(f"{PLACE}/weights.txt") == b"of somebody else"
    assert not there.exists(f"{PLACE}/{MANIFEST}")


def test_a_cache_that_cannot_be_written_is_told(store: RemoteStore, entry: CatalogueEntry, tmp_path: Path):
    (tmp_path / "cache").write_text("in the way", encoding="utf-8")
    with pytest.raises(Unavailable, match=r"the cache of models .* cannot be written"):
        store.on_disk(MODEL, entry)


def test_a_missing_library_names_the_file_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "s3fs" else find(name))
    with pytest.raises(SettingsError, match=r"s3:// needs s3fs; pip install -r requirements-s3\.txt"):
        RemoteStore("s3://models", tmp_path)
