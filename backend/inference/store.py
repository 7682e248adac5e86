"""Where the files of model versions lie. A version never changes once it is there."""

import errno
import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from backend.errors import ArtifactError, Conflict, Unavailable
from backend.inference.manifest import CatalogueEntry, digest

RESTORE = "restore the released files or train the model again"


class ArtifactStore(ABC):
    """Files by model, version and name."""

    @abstractmethod
    def read(self, model: str, version: str, file: str, *, sha256: str) -> bytes:
        """Return the content of a file that must have this digest, read once: what is hashed is what is parsed later.

        Raises:
            ArtifactError: it is missing, altered or cannot be read; the message names the model and the file.
            Unavailable: the store does not answer.
        """

    @abstractmethod
    def find(self, model: str, version: str, file: str) -> bytes | None:
        """Return the content of a file that may not be there, whatever it is.

        Raises:
            ArtifactError: it cannot be read.
            Unavailable: the store does not answer.
        """

    @abstractmethod
    def on_disk(self, model: str, entry: CatalogueEntry) -> Path:
        """Return the root of a `FolderStore` of this machine in which the files of a version lie.

        Raises:
            ArtifactError, Unavailable: as `read`.
        """

    @abstractmethod
    def publish(self, model: str, version: str, folder: Path) -> None:
        """Take over the files of a folder as a new version, or none of them.

        Raises:
            Conflict: the version is there already.
            Unavailable: the store cannot be written.
        """

    @abstractmethod
    def remove(self, model: str, version: str) -> None:
        """Remove the files of a version, if there are any.

        Raises:
            Unavailable: the store cannot be written.
        """


class FolderStore(ArtifactStore):
    """`<root>/<model>/<version>/<file>` on a disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, model: str, version: str, file: str, *, sha256: str) -> bytes:
        """Return the content of a file; see `ArtifactStore.read`."""
        content = self.find(model, version, file)
        if content is None:
            raise ArtifactError(f"model {model}: {file} of version {version} is missing; {RESTORE}")
        return verified(content, sha256, model=model, version=version, file=file)

    def find(self, model: str, version: str, file: str) -> bytes | None:
        """Return the content of a file or None; see `ArtifactStore.find`."""
        try:
            resolved = (self._root / model / version / file).resolve(strict=True)
            if not resolved.is_relative_to(self._root.resolve()) or not resolved.is_file():
                raise ArtifactError(f"model {model}: {file} is not a file inside the models folder; {RESTORE}")
            return resolved.read_bytes()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead to each other
            raise ArtifactError(f"model {model}: {file} of version {version} cannot be read; {RESTORE}") from error

    def on_disk(self, model: str, entry: CatalogueEntry) -> Path:  # noqa: ARG002 - all versions lie there
        """Return the root; see `ArtifactStore.on_disk`."""
        return self._root

    def publish(self, model: str, version: str, folder: Path) -> None:
        """Move a folder of the same disk to its place; see `ArtifactStore.publish`."""
        place = self._root / model / version
        try:
            for path in (*folder.iterdir(), folder):
                _sync(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(place)  # in one step: nobody sees half of it
            _sync(place.parent)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                raise Conflict(f"version {version} of model {model} is there already") from None
            raise Unavailable(f"the models folder cannot be written ({error.strerror})") from error

    def remove(self, model: str, version: str) -> None:
        """Remove the folder of a version; see `ArtifactStore.remove`."""
        try:
            shutil.rmtree(self._root / model / version)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"the models folder cannot be written ({error.strerror})") from error


def verified(content: bytes, sha256: str, *, model: str, version: str, file: str) -> bytes:
    """Return the content of a file that has this digest.

    Raises:
        ArtifactError: it has another.
    """
    if digest(content) != sha256:
        raise ArtifactError(
            f"model {model}: {file} of version {version} is truncated or altered, its SHA-256 differs; {RESTORE}"
        )
    return content


def _sync(path: Path) -> None:
    """Bring a file or a folder to the disk, so that a power cut leaves all of a version or nothing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
