"""Where the files of jobs lie: one folder for each job, written whole or not at all."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import UUID

from backend.errors import Unavailable
from backend.extensions import current

FOLDER = "files"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is complete and on the disk."""

    bytes: int
    sha256: str


class Storage:
    """The folder of all jobs' files; only this user may look into it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, job_id: UUID) -> Path:
        """Return the folder of a job, which may not exist."""
        return self._root / str(job_id)

    def create(self, job_id: UUID) -> Path:
        """Create the folder of a job.

        Raises:
            Unavailable: the data folder cannot be written.
        """
        folder = self.folder(job_id)
        with _disk():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def receive(self, job_id: UUID, name: str, chunks: Iterable[bytes]) -> Stored:
        """Write a file of a job as its bytes come in; whatever goes wrong, the job's folder is gone.

        Raises:
            Unavailable: the data folder is full or cannot be written.
        """
        folder = self.create(job_id)
        digest, size = hashlib.sha256(), 0
        try:
            with _disk():
                file = (folder / name).open("xb")
            try:
                for chunk in chunks:  # their errors are the sender's, not the disk's
                    with _disk():
                        file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                with _disk():
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                with suppress(OSError):  # a full disk fails again at what is still to be written, and was told above
                    file.close()
        except BaseException:
            self.remove(job_id)
            raise
        return Stored(bytes=size, sha256=digest.hexdigest())

    def remove(self, job_id: UUID) -> None:
        """Remove a job's folder with everything in it."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def jobs(self) -> Iterator[UUID]:
        """Yield the jobs that have a folder."""
        if not self._root.is_dir():
            return
        for path in self._root.iterdir():
            try:
                yield UUID(path.name)
            except ValueError:  # not ours
                continue


def measure(path: Path) -> Stored:
    """Return size and digest of a file.

    Raises:
        Unavailable: the file cannot be read.
    """
    with _disk(), path.open("rb") as file:
        return Stored(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def current_storage() -> Storage:
    """Return the storage of the current application."""
    return cast("Storage", current("files"))


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or type(error).__name__
        raise Unavailable(f"the folder {FOLDER!r} of the data folder cannot be used: {reason}") from error
