"""How versions come in: whole and entered, or refused with nothing left of them."""

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask

from backend.errors import (
    ArtifactError,
    Conflict,
    InputError,
    NotFound,
    RefusedArtifact,
    TooLarge,
    Unavailable,
    ValidationFailed,
)
from backend.extensions import transaction
from backend.inference.catalogue import read_artifact
from backend.inference.manifest import MANIFEST, CatalogueEntry, Manifest, digest
from backend.inference.store import FolderStore
from backend.inference.trust import SIGNATURE, Trust, key_id, sign
from backend.registry import intake
from backend.registry.checked import Checked
from backend.registry.intake import register_folder, register_upload
from backend.registry.registry import Registry, current_registry
from backend.registry.tables import ModelVersion
from backend.registry.views import VersionView
from tests.contract.versions import release_of

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def registry(app: Flask) -> Registry:
    return current_registry()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A version that is whole."""
    release_of(tmp_path / "new", "adder", "2")
    return tmp_path / "new"


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were tried out; here by reading them, the process of its own has tests of its own."""
    seen: list[str] = []

    def check(root: Path, model: str, entry: CatalogueEntry, *, trust: Trust, threads: int) -> Checked:
        assert threads == 2
        artifact = read_artifact(FolderStore(root), model, entry, trust=trust)
        if artifact.weights == b"broken":
            raise ArtifactError("model adder: version 2 ends the process that loads it (SIGABRT)")
        seen.append(f"{model} {entry.version}")
        return Checked(memory_bytes=1_000, load_seconds=0.5)

    monkeypatch.setattr(intake, "check_folder", check)
    return seen


def zip_of(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    return buffer.getvalue()


def upload(registry: Registry, content: bytes, *, by: str = "Ravi", tags: dict[str, str] | None = None) -> VersionView:
    chunks = [content[start : start + 100] for start in range(0, len(content), 100)]
    return register_upload(registry, chunks, by=by, tags=tags or {}, at=AT, threads=2)


def take(registry: Registry, folder: Path, *, by: str = "Ravi") -> VersionView:
    return register_folder(registry, folder, by=by, source="file:///new", tags={}, at=AT, threads=2)


def registered() -> list[str]:
    with transaction(read_only=True) as session:
        return [f"{row.model} {row.version}" for row in session.query(ModelVersion)]


def lying(registry: Registry) -> list[str]:
    """Every file there is below the models' folder, those that are on their way too."""
    root = registry.incoming.parent
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def rewrite(folder: Path, **changes: object) -> None:
    """Change the manifest of a version."""
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes()).model_dump() | changes
    (folder / MANIFEST).write_text(Manifest.model_construct(**manifest).model_dump_json(warnings=False))


def test_an_upload_becomes_a_version_that_can_be_read(registry: Registry, folder: Path, tried: list[str]):
    sha256 = digest((folder / MANIFEST).read_bytes())
    view = upload(registry, zip_of(folder), tags={"purpose": "trial"})
    assert (view.model, view.version, view.source, view.registered_by) == ("adder", "2", "upload", "Ravi")
    assert (view.manifest_sha256, view.memory_bytes, view.load_seconds) == (sha256, 1_000, 0.5)
    assert (view.tags, view.signed_by, view.shipped) == ({"purpose": "trial"}, None, False)
    assert tried == ["adder 2"]
    entry = CatalogueEntry(version="2", manifest_sha256=sha256)
    assert read_artifact(registry.store, "adder", entry).weights == b"0.5"
    assert [name for name in lying(registry) if not name.startswith("adder/2/")] == []


def test_a_folder_becomes_a_version_and_stays(registry: Registry, folder: Path):
    before = sorted(folder.iterdir())
    assert take(registry, folder).source == "file:///new"
    assert sorted(folder.iterdir()) == before
    assert registered() == ["adder 2"]


def altered(folder: Path) -> str:
    (folder / "weights.txt").write_bytes(b"0.6")
    return r"weights\.txt is truncated or altered, its SHA-256 differs"


def without_weights(folder: Path) -> str:
    (folder / "weights.txt").unlink()
    return r"lacks weights\.txt"


def without_golden_rows(folder: Path) -> str:
    (folder / "golden.json").unlink()
    return r"lacks golden\.json"


def without_manifest(folder: Path) -> str:
    (folder / MANIFEST).unlink()
    return r"there is no manifest\.json"


def with_a_file_nobody_lists(folder: Path) -> str:
    (folder / "install.sh").write_bytes(b"curl")
    return r"has files that manifest\.json does not list: install\.sh"


def with_unlisted_weights(folder: Path) -> str:
    rewrite(folder, files={})
    return r"does not list: CARD\.md, golden\.json, weights\.txt"


def with_a_manifest_that_is_none(folder: Path) -> str:
    (folder / MANIFEST).write_bytes(b'{"name": "../adder"}')
    return r"manifest\.json is not valid \(name: String should match pattern"


def with_a_huge_manifest(folder: Path) -> str:
    (folder / MANIFEST).write_bytes(b" " * (5 << 20))
    return r"manifest\.json is larger than 4,194,304 bytes"


def with_a_long_name(folder: Path) -> str:
    rewrite(folder, version="2" * 65)
    return "name and version may have 64 characters"


def listing_its_signature(folder: Path) -> str:
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    rewrite(folder, files={**manifest.files, SIGNATURE: digest(b"")})
    return "lists itself or its signature"


def ending_its_process(folder: Path) -> str:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    release_of(folder, "adder", "2", weights=b"broken")
    return "ends the process that loads it"


FAULTS = [
    altered,
    without_weights,
    without_golden_rows,
    without_manifest,
    with_a_file_nobody_lists,
    with_unlisted_weights,
    with_a_manifest_that_is_none,
    with_a_huge_manifest,
    with_a_long_name,
    listing_its_signature,
    ending_its_process,
]


@pytest.mark.parametrize("damage", FAULTS)
def test_what_cannot_be_used_is_refused_and_nothing_is_left(
    registry: Registry, folder: Path, damage: Callable[[Path], str]
):
    reason = damage(folder)
    with pytest.raises(RefusedArtifact, match=reason):
        upload(registry, zip_of(folder))
    with pytest.raises(RefusedArtifact, match=reason):
        take(registry, folder)
    assert (registered(), lying(registry)) == ([], [])


def test_more_than_a_version_may_take_is_refused_while_it_comes_in(registry: Registry, folder: Path):
    small = replace(registry, max_bytes=500)
    assert len(zip_of(folder)) > 500
    for register in (lambda: upload(small, zip_of(folder)), lambda: take(small, folder)):
        with pytest.raises(TooLarge, match="may take 500 bytes"):
            register()
    assert (registered(), lying(registry)) == ([], [])


def test_an_upload_that_breaks_off_leaves_nothing(registry: Registry, folder: Path):
    def broken() -> Iterator[bytes]:
        yield zip_of(folder)[:100]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        register_upload(registry, broken(), by="Ravi", tags={}, at=AT, threads=2)
    assert lying(registry) == []


@pytest.mark.parametrize("odd", ["link", "folder"])
def test_a_folder_that_holds_more_than_files_is_refused(registry: Registry, folder: Path, odd: str):
    path = folder / "odd"
    path.mkdir() if odd == "folder" else path.symlink_to("/etc/hostname")
    with pytest.raises(RefusedArtifact, match="odd is no plain file"):
        take(registry, folder)
    assert lying(registry) == []


def test_a_folder_that_is_not_there_is_told(registry: Registry, tmp_path: Path):
    with pytest.raises(NotFound, match="no folder"):
        take(registry, tmp_path / "nowhere")


def test_a_signature_is_kept_with_the_version_and_says_who(registry: Registry, folder: Path):
    (folder / SIGNATURE).write_bytes(sign((folder / MANIFEST).read_bytes(), KEY))
    trusting = replace(registry, trust=Trust([KEY.public_key()], required=True))
    assert upload(trusting, zip_of(folder)).signed_by == key_id(KEY.public_key())
    assert registry.store.find("adder", "2", SIGNATURE) is not None


def test_what_is_not_signed_is_refused_where_it_must_be(registry: Registry, folder: Path, tried: list[str]):
    trusting = replace(registry, trust=Trust([KEY.public_key()], required=True))
    with pytest.raises(RefusedArtifact, match="version 2 is not signed"):
        upload(trusting, zip_of(folder))
    assert tried == []


def test_a_version_is_registered_once(registry: Registry, folder: Path):
    upload(registry, zip_of(folder))
    before = lying(registry)
    with pytest.raises(Conflict, match="already"):
        upload(registry, zip_of(folder))
    assert (registered(), lying(registry)) == (["adder 2"], before)


def test_another_version_of_the_same_name_leaves_the_first_as_it_is(registry: Registry, folder: Path, tmp_path: Path):
    view = upload(registry, zip_of(folder))
    release_of(tmp_path / "other", "adder", "2", weights=b"0.7")
    with pytest.raises(Conflict, match="is there already"):
        take(registry, tmp_path / "other")
    entry = CatalogueEntry(version="2", manifest_sha256=view.manifest_sha256)
    assert read_artifact(registry.store, "adder", entry).weights == b"0.5"


def test_what_cannot_be_entered_is_not_left_in_the_store(registry: Registry, folder: Path):
    with pytest.raises(ValidationFailed):
        upload(registry, zip_of(folder), by="")
    assert (registered(), lying(registry)) == ([], [])


def test_files_whose_entry_nobody_can_tell_of_stay_and_a_repeat_takes_them_over(
    registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(intake, "register", fail)
        patch.setattr(intake, "transaction", fail)
        with pytest.raises(Unavailable):
            upload(registry, zip_of(folder))
    assert registered() == []
    assert "adder/2/manifest.json" in lying(registry)
    assert upload(registry, zip_of(folder)).version == "2"


def test_a_version_that_was_entered_although_nobody_said_so_keeps_its_files(
    registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    register = intake.register

    def answer_lost(*given: object, **options: object) -> None:
        register(*given, **options)
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(intake, "register", answer_lost)
    with pytest.raises(Unavailable):
        upload(registry, zip_of(folder))
    assert registered() == ["adder 2"]
    assert "adder/2/weights.txt" in lying(registry)


def test_what_a_killed_process_left_goes_a_day_later(registry: Registry, folder: Path):
    for name, age in (("old", 90_000), ("young", 3_000)):
        (registry.incoming / name).mkdir(parents=True)
        (registry.incoming / name / "package.zip").write_bytes(b"PK")
        os.utime(registry.incoming / name, (time.time() - age,) * 2)
    upload(registry, zip_of(folder))
    assert [path.name for path in registry.incoming.iterdir()] == ["young"]


def test_only_this_user_may_look_at_what_comes_in(registry: Registry):
    with intake.workplace(registry) as place:
        assert [stat & 0o777 for stat in (place.stat().st_mode, registry.incoming.stat().st_mode)] == [0o700, 0o700]


def test_a_folder_with_too_many_files_is_refused(registry: Registry, folder: Path):
    for number in range(50):
        (folder / f"part{number}").touch()
    with pytest.raises(InputError, match="has 54 files, 50 are allowed"):
        take(registry, folder)
