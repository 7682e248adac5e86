"""What every store of model versions promises."""

from pathlib import Path

import pytest

from backend.errors import ArtifactError, Conflict
from backend.inference.catalogue import read_artifact
from backend.inference.manifest import MANIFEST, CatalogueEntry, Golden, digest
from backend.inference.store import ArtifactStore, FolderStore
from backend.inference.trust import SIGNATURE
from tests.contract.versions import release_of

MODEL, VERSION = "adder", "1"


def write(folder: Path, weights: bytes = b"0.5") -> CatalogueEntry:
    """Write a version into a folder and return what names it."""
    return release_of(folder, MODEL, VERSION, weights=weights)


class StoreContract:
    """The tests; whoever inherits them has a fixture `store`."""

    @pytest.fixture
    def entry(self, store: ArtifactStore, tmp_path: Path) -> CatalogueEntry:
        """A version that was published."""
        entry = write(tmp_path / "new")
        store.publish(MODEL, VERSION, tmp_path / "new")
        return entry

    def test_what_was_published_is_read(self, store: ArtifactStore, entry: CatalogueEntry):
        artifact = read_artifact(store, MODEL, entry)
        assert (artifact.weights, artifact.golden) == (b"0.5", Golden(rows=((1.0,),), outputs=(1.5,)))

    @pytest.mark.usefixtures("entry")
    def test_a_file_with_another_digest_is_refused(self, store: ArtifactStore):
        with pytest.raises(ArtifactError, match=r"weights\.txt of version 1 is truncated or altered"):
            store.read(MODEL, VERSION, "weights.txt", sha256=digest(b"0.6"))
        assert store.read(MODEL, VERSION, "weights.txt", sha256=digest(b"0.5")) == b"0.5"

    def test_a_file_that_is_not_there_is_told(self, store: ArtifactStore, entry: CatalogueEntry):
        with pytest.raises(ArtifactError, match=r"model adder: other\.txt of version 1 is missing"):
            store.read(MODEL, VERSION, "other.txt", sha256=digest(b""))
        with pytest.raises(ArtifactError, match="of version 2 is missing"):
            store.read(MODEL, "2", MANIFEST, sha256=entry.manifest_sha256)

    def test_a_signature_is_found_if_there_is_one(self, store: ArtifactStore, tmp_path: Path):
        write(tmp_path / "new")
        (tmp_path / "new" / SIGNATURE).write_bytes(b"signed")
        store.publish(MODEL, VERSION, tmp_path / "new")
        assert store.find(MODEL, VERSION, SIGNATURE) == b"signed"
        assert store.find(MODEL, "2", SIGNATURE) is None

    def test_a_version_is_published_once(self, store: ArtifactStore, entry: CatalogueEntry, tmp_path: Path):
        write(tmp_path / "other", weights=b"0.6")
        with pytest.raises(Conflict, match="version 1 of model adder is there already"):
            store.publish(MODEL, VERSION, tmp_path / "other")
        assert read_artifact(store, MODEL, entry).weights == b"0.5"

    def test_what_was_removed_is_gone_and_may_be_published_again(
        self, store: ArtifactStore, entry: CatalogueEntry, tmp_path: Path
    ):
        store.remove(MODEL, VERSION)
        store.remove(MODEL, VERSION)  # whoever repeats it sees no error
        with pytest.raises(ArtifactError, match="is missing"):
            read_artifact(store, MODEL, entry)
        write(tmp_path / "again")
        store.publish(MODEL, VERSION, tmp_path / "again")
        assert read_artifact(store, MODEL, entry).weights == b"0.5"

    def test_all_files_of_a_version_lie_on_a_disk_when_asked_for(self, store: ArtifactStore, entry: CatalogueEntry):
        root = store.on_disk(MODEL, entry)
        assert read_artifact(FolderStore(root), MODEL, entry).weights == b"0.5"
