"""Archives: rows as compressed lines of JSON, in files named by their digest, durable before anything is deleted."""

import gzip
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from backend.errors import ArchiveError

FOLDER = "archive"
PARTIAL = ".partial-"
STALE_SECONDS = 24 * 3600.0

Record = Mapping[str, object]


def write_archive(folder: Path, table: str, rows: Sequence[Record], *, first: datetime, last: datetime) -> Path:
    """Store rows as `<table>-<first>-<last>-<sha256>.ndjson.gz`, and read the file back before it counts.

    The same rows give the same bytes and the same name, so a repeated run replaces its own file.

    Raises:
        ArchiveError: the file could not be written, or does not say what was written.
    """
    lines = "".join(json.dumps(dict(row), default=_plain, sort_keys=True, separators=(",", ":")) + "\n" for row in rows)
    text = lines.encode()
    content = gzip.compress(text, mtime=0)
    digest = hashlib.sha256(content).hexdigest()
    path = (
        folder
        / f"{table}-{first.astimezone(UTC):%Y%m%dT%H%M%SZ}-{last.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}.ndjson.gz"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_durably(path, content)
        if read_archive(path) != text:
            raise ArchiveError(f"{path.name} does not hold the rows that were written")
    except OSError as error:
        raise ArchiveError(f"cannot archive to {folder}: {error.strerror}") from error
    return path


def read_archive(path: Path) -> bytes:
    """Return the lines of an archive.

    Raises:
        ArchiveError: its bytes are not those its name promises.
    """
    content = path.read_bytes()
    if not path.name.endswith(f"-{hashlib.sha256(content).hexdigest()}.ndjson.gz"):
        raise ArchiveError(f"{path.name} was altered or damaged: its digest is not that of its name")
    return gzip.decompress(content)


def remove_stale_parts(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for left in folder.glob(f"{PARTIAL}*"):
        if left.stat().st_mtime < time.time() - STALE_SECONDS:
            left.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    """Write under another name, sync, rename, sync the folder: the name appears with all of its bytes or not at all."""
    handle, partial = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no form in an archive")
