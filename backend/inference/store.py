"""Where the files of model versions lie. A version never changes once it is there."""

import errno
from abc import ABC, abstractmethod
from pathlib import Path

from backend.errors import ArtifactError, Conflict, Unavailable

RESTORE = "restore the released files or train the model again"


class ArtifactStore(ABC):
    """Files by model, version and name; whoever reads them verifies them."""

    @abstractmethod
    def read(self, model: str, version: str, file: str) -> bytes:
        """Return the content of a file, read once: what is hashed is what is parsed later.

        Raises:
            ArtifactError: it is missing or cannot be read; the message names the model and the file.
            Unavailable: the store does not answer.
        """

    @abstractmethod
    def find(self, model: str, version: str, file: str) -> bytes | None:
        """Return the content of a file that may not be there.

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


class FolderStore(ArtifactStore):
    """`<root>/<model>/<version>/<file>` on a disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, model: str, version: str, file: str) -> bytes | None:
        """Return the content of a file or None; see `ArtifactStore.find`."""
        return self.read(model, version, file) if (self._root / model / version / file).exists() else None

    def read(self, model: str, version: str, file: str) -> bytes:
        """Return the content of a file; see `ArtifactStore.read`."""
        path = self._root / model / version / file
        try:
            resolved = path.resolve(strict=True)
            if not resolved.is_relative_to(self._root.resolve()) or not resolved.is_file():
                raise ArtifactError(f"model {model}: {file} is not a file inside the models folder; {RESTORE}")
            return resolved.read_bytes()
        except FileNotFoundError as error:
            raise ArtifactError(f"model {model}: {file} of version {version} is missing; {RESTORE}") from error
        except (OSError, ValueError) as error:
            raise ArtifactError(f"model {model}: {file} of version {version} cannot be read; {RESTORE}") from error

    def publish(self, model: str, version: str, folder: Path) -> None:
        """Move a folder of the same disk to its place; see `ArtifactStore.publish`."""
        place = self._root / model / version
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(place)  # in one step: nobody sees half of it
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                raise Conflict(f"version {version} of model {model} is there already") from None
            raise Unavailable(f"the models folder cannot be written ({error.strerror})") from error
