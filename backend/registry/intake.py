"""How versions come in: received, verified, tried out in a process of its own, published and entered; or nothing is.

Files lie in a folder of their own in `Registry.incoming` until then. What a process that was killed left there goes a
day later.
"""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError
from sqlalchemy import select

from backend.errors import ArtifactError, Conflict, NotFound, RefusedArtifact, Unavailable, wrong_fields
from backend.extensions import transaction
from backend.inference.manifest import GOLDEN, MANIFEST, CatalogueEntry, Manifest, digest
from backend.inference.store import ArtifactStore
from backend.inference.trust import SIGNATURE, Trust
from backend.registry.candidate import check_folder
from backend.registry.packages import AGAIN, MOST_FILES, disk, is_plain, new_file, receive, too_large, unpack
from backend.registry.registry import Registry
from backend.registry.tables import ModelVersion
from backend.registry.versions import NewVersion, register
from backend.registry.views import VersionView

log = structlog.get_logger()

MOST_NAME: Final = 64  # characters of a model's name and of a version's
MOST_MANIFEST: Final = 4 << 20  # bytes; it is kept in the database
MOST_WRONG: Final = 10  # fields in one message
MOST_SOURCE: Final = 500
ABANDONED_AFTER: Final = 86_400.0  # seconds
UPLOAD: Final = "upload"
"""The source of versions that were sent to the API."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """What lies in a folder: a manifest, and all the files it names with their digests."""

    manifest: Manifest
    entry: CatalogueEntry
    signed_by: str | None


def register_upload(
    registry: Registry,
    chunks: Iterable[bytes],
    *,
    by: str,
    tags: Mapping[str, str],
    at: datetime,
    threads: int,
    source: str = UPLOAD,
) -> VersionView:
    """Register the version in a zip as its bytes come in.

    Raises:
        TooLarge: it is larger than a version may be.
        RefusedArtifact: it cannot be used; the message says why.
        Conflict: it is registered already, or another one of its name.
        ValidationFailed: nobody is named, or the tags cannot be stored.
        Unavailable: the disk, the store or the database cannot be used now.
    """
    with workplace(registry) as place:
        package = place / "package.zip"
        receive(chunks, package, max_bytes=registry.max_bytes)
        unpack(package, place / "files", max_bytes=registry.max_bytes)
        package.unlink()
        return _take_in(registry, place, source=source, by=by, tags=tags, at=at, threads=threads)


def register_folder(
    registry: Registry,
    folder: Path,
    *,
    by: str,
    source: str,
    tags: Mapping[str, str],
    at: datetime,
    threads: int,
) -> VersionView:
    """Register the version that lies in a folder, which stays as it is.

    Raises:
        NotFound: there is no such folder.
        TooLarge, RefusedArtifact, Conflict, ValidationFailed, Unavailable: as `register_upload`.
    """
    if not folder.is_dir():
        raise NotFound("folder", folder)
    with workplace(registry) as place:
        _copy(folder, place / "files", max_bytes=registry.max_bytes)
        return _take_in(registry, place, source=source, by=by, tags=tags, at=at, threads=threads)


@contextmanager
def workplace(registry: Registry) -> Iterator[Path]:
    """Make a folder for one version that comes in, and remove it at the end; also what others left long ago."""
    _sweep(registry.incoming)
    with disk():
        registry.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=registry.incoming))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(incoming: Path) -> None:
    if not incoming.is_dir():
        return
    for place in incoming.iterdir():
        try:
            abandoned = time.time() - place.stat().st_mtime > ABANDONED_AFTER
        except FileNotFoundError:  # its intake has just ended
            continue
        if abandoned:
            shutil.rmtree(place, ignore_errors=True)


def _copy(source: Path, target: Path, *, max_bytes: int) -> None:
    """Copy the files of a folder."""
    with disk():
        target.mkdir(mode=0o700)
        paths = sorted(source.iterdir())
    if len(paths) > MOST_FILES:
        raise RefusedArtifact(f"{source} has {len(paths)} files, {MOST_FILES} are allowed; keep those of one version")
    left = max_bytes
    for path in paths:
        if not is_plain(path.name) or path.is_symlink() or not path.is_file():
            raise RefusedArtifact(f"{path} is no plain file; keep the files of one version in the folder")
        left -= path.stat().st_size
        if left < 0:
            raise too_large(max_bytes)
        with path.open("rb") as original, new_file(target / path.name) as copy, disk():
            shutil.copyfileobj(original, copy)


def _take_in(
    registry: Registry, place: Path, *, source: str, by: str, tags: Mapping[str, str], at: datetime, threads: int
) -> VersionView:
    """Verify, try out, publish and enter the version whose files lie in `<place>/files`."""
    try:
        found = _verify(place / "files", trust=registry.trust)
        model, version = found.manifest.name, found.manifest.version
        folder = place / model / version  # as a store would have it
        with disk():
            folder.parent.mkdir(mode=0o700)
            (place / "files").rename(folder)
        checked = check_folder(place, model, found.entry, trust=registry.trust, threads=threads)
    except ArtifactError as error:
        raise RefusedArtifact(str(error)) from error
    new = NewVersion(
        manifest=found.manifest,
        manifest_sha256=found.entry.manifest_sha256,
        shipped=False,
        source=source[:MOST_SOURCE],
        signed_by=found.signed_by,
        registered_by=by,
        memory_bytes=checked.memory_bytes,
        load_seconds=checked.load_seconds,
        tags=tags,
    )
    _publish(registry.store, found, folder)
    try:
        return register(new, at=at)
    except BaseException:
        _withdraw(registry.store, found)
        raise


def _verify(folder: Path, *, trust: Trust) -> _Verified:
    """Compare the files of a folder with their manifest, and the manifest with its signature.

    Raises:
        ArtifactError: something is missing, altered, unreadable, too much or not trusted.
    """
    manifest, content = _read_manifest(folder / MANIFEST)
    signature = folder / SIGNATURE
    signed_by = trust.check(manifest, content, signature.read_bytes() if trust.asks and signature.exists() else None)
    what = f"model {manifest.name}: version {manifest.version}"
    there = {path.name for path in folder.iterdir()} - {MANIFEST, SIGNATURE}
    if missing := {*manifest.files, manifest.file, GOLDEN} - there:
        raise ArtifactError(f"{what} lacks {', '.join(sorted(missing))}; {AGAIN}")
    if unknown := there - {*manifest.files}:
        raise ArtifactError(f"{what} has files that {MANIFEST} does not list: {', '.join(sorted(unknown))}; {AGAIN}")
    for name, sha256 in manifest.files.items():
        with (folder / name).open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != sha256:
                raise ArtifactError(f"{what}: {name} is truncated or altered, its SHA-256 differs; send it again")
    entry = CatalogueEntry(version=manifest.version, manifest_sha256=digest(content))
    return _Verified(manifest=manifest, entry=entry, signed_by=signed_by)


def _read_manifest(path: Path) -> tuple[Manifest, bytes]:
    if not path.exists():
        raise ArtifactError(f"there is no {MANIFEST}; {AGAIN}")
    if path.stat().st_size > MOST_MANIFEST:
        raise ArtifactError(
            f"{MANIFEST} is larger than {MOST_MANIFEST:,} bytes; keep large things in files of their own"
        )
    content = path.read_bytes()
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(f"{found.field or 'the text'}: {found.reason}" for found in wrong_fields(error)[:MOST_WRONG])
        raise ArtifactError(f"{MANIFEST} is not valid ({wrong}); write the version again") from error
    if max(len(manifest.name), len(manifest.version)) > MOST_NAME:
        raise ArtifactError(f"{MANIFEST}: name and version may have {MOST_NAME} characters; shorten them")
    if {MANIFEST, SIGNATURE} & {*manifest.files, manifest.file}:
        raise ArtifactError(f"{MANIFEST} lists itself or its signature; write the version again")
    return manifest, content


def _publish(store: ArtifactStore, found: _Verified, folder: Path) -> None:
    """Publish the files, unless the very same lie there: of an intake that ended before it could enter them."""
    model, version = found.manifest.name, found.manifest.version
    try:
        store.publish(model, version, folder)
    except Conflict:
        try:
            same = store.read(model, version, MANIFEST, sha256=found.entry.manifest_sha256)
        except ArtifactError:
            same = None
        if not same:
            raise


def _withdraw(store: ArtifactStore, found: _Verified) -> None:
    """Remove the files of a version that could not be entered, unless a row names them or nobody can say so."""
    named = select(ModelVersion.id).where(
        ModelVersion.model == found.manifest.name,
        ModelVersion.version == found.manifest.version,
        ModelVersion.shipped.is_(False),
    )
    try:
        with transaction(read_only=True) as session:
            if session.scalar(named.limit(1)) is None:
                store.remove(found.manifest.name, found.manifest.version)
    except Unavailable as error:  # a repeat takes over what lies there
        log.warning("model_files_left", model=found.manifest.name, version=found.manifest.version, reason=error)
