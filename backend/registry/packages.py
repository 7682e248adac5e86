"""Model versions that come in as zip files: received up to a bound and unpacked without trusting a word in them."""

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from backend.errors import RefusedArtifact, TooLarge, Unavailable
from backend.inference.manifest import PlainName

MOST_FILES = 50
MOST_LETTERS = 100  # of a file's name
CHUNK = 1 << 20  # bytes
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others may take any memory to read
AGAIN = "zip manifest.json, the files it lists and manifest.sig, in one folder or none"
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
)
"""What the library raises for bytes that are no zip, or half of one."""

_PLAIN_NAME = TypeAdapter(PlainName)


def receive(chunks: Iterable[bytes], path: Path, *, max_bytes: int) -> None:
    """Write an upload to a new file as it comes in.

    Raises:
        TooLarge: it is larger than `max_bytes`.
        Unavailable: the disk is full or cannot be written.
    """
    size = 0
    with new_file(path) as file:
        for chunk in chunks:  # their errors are the sender's, not the disk's
            size += len(chunk)
            if size > max_bytes:
                raise too_large(max_bytes)
            with disk():
                file.write(chunk)


def unpack(package: Path, folder: Path, *, max_bytes: int) -> None:
    """Write the files of a zip into a new folder; those of its only folder, if it has one.

    Raises:
        RefusedArtifact: it is damaged, or holds anything but a few plain files.
        TooLarge: the files are larger than `max_bytes`.
        Unavailable: the disk is full or cannot be written.
    """
    with disk():
        folder.mkdir(mode=0o700)
    try:
        with _Frugal(package) as raw, zipfile.ZipFile(raw) as archive:
            _unpack(archive, folder, max_bytes=max_bytes)
    except DAMAGE as error:
        raise RefusedArtifact(f"the upload is no zip, or a damaged one ({type(error).__name__}); {AGAIN}") from error


def _unpack(archive: zipfile.ZipFile, folder: Path, *, max_bytes: int) -> None:
    members = _members(archive)
    if sum(member.file_size for member in members.values()) > max_bytes:  # what they claim: refused before any work
        raise too_large(max_bytes)
    left = max_bytes
    for name, member in members.items():
        with archive.open(member) as source, new_file(folder / name) as file:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise too_large(max_bytes)
                with disk():
                    file.write(chunk)


class _Frugal(FileIO):
    """A file of which no read takes more than a chunk: the list of a zip's members may claim any length."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes."""
        content = super().read(CHUNK + 1 if size is None or not 0 <= size <= CHUNK else size)
        if len(content) > CHUNK:
            raise RefusedArtifact(f"the zip has a list of members that is too long; {AGAIN}")
        return content


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by the name they get."""
    if len(archive.infolist()) > MOST_FILES:
        raise RefusedArtifact(f"the zip has {len(archive.infolist())} members, {MOST_FILES} are allowed; {AGAIN}")
    top = _only_folder(archive)
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if top and member.filename == top:
            continue
        name = member.filename.removeprefix(top)
        if not is_plain(name):
            raise RefusedArtifact(
                f"the zip has a member {member.filename[:100]!r}, which is no plain file name; {AGAIN}"
            )
        if name in found:
            raise RefusedArtifact(f"the zip has two members {name}; {AGAIN}")
        found[name] = _plain(member)
    return found


def _only_folder(archive: zipfile.ZipFile) -> str:
    """Return the folder in which all members are, with its slash; nothing if there is none."""
    tops = {name.partition("/")[:2] for name in archive.namelist()}
    folder, slash = next(iter(tops)) if len(tops) == 1 else ("", "")
    return folder + slash if slash and is_plain(folder) else ""


def _plain(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return a member that is a file and nothing else."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        raise RefusedArtifact(f"the zip's member {member.filename} is a link or a device; {AGAIN}")
    if member.flag_bits & 0x1:
        raise RefusedArtifact(f"the zip's member {member.filename} is encrypted; zip it without a password")
    if member.compress_type not in METHODS:
        raise RefusedArtifact(f"the zip's member {member.filename} is compressed in an unusual way; use deflate")
    return member


def is_plain(name: str) -> bool:
    """Say whether a file may have this name."""
    try:
        _PLAIN_NAME.validate_python(name)
    except ValidationError:
        return False
    return len(name) <= MOST_LETTERS


def too_large(max_bytes: int) -> TooLarge:
    """Return the error that says how large a version may be."""
    return TooLarge(f"the files of a model version may take {max_bytes:,} bytes (SANGUINE_MAX_MODEL_BYTES); send less")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file and leave all of it with the system at the end.

    Raises:
        Unavailable: the disk is full or cannot be written.
    """
    with disk():
        file = path.open("xb")
    try:
        yield file
        with disk():
            file.flush()
    finally:
        with suppress(OSError):  # a full disk fails again at what is still to be written, and was told above
            file.close()


@contextmanager
def disk() -> Iterator[None]:
    """Say of a disk that cannot be used why, and that it may be later."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or type(error).__name__
        raise Unavailable(f"the folder of incoming models cannot be used: {reason}") from error
