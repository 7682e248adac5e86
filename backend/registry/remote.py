"""Model versions in a bucket, or wherever else fsspec leads; each machine keeps what it has read.

For S3 and what speaks its language, the usual variables give credentials and place: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3, or the files and roles that botocore knows.
"""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from backend.errors import ArtifactError, Conflict, SettingsError, Unavailable
from backend.inference.manifest import MANIFEST, CatalogueEntry, Manifest
from backend.inference.store import RESTORE, ArtifactStore, FolderStore, verified
from backend.inference.trust import SIGNATURE

S3_OPTIONS: Final = {
    "config_kwargs": {"connect_timeout": 3, "read_timeout": 30, "retries": {"max_attempts": 2}},
    "use_listings_cache": False,
}
"""A store that is away is noticed within seconds, and never remembered as it was."""
LIBRARIES: Final = {"s3": "s3fs", "s3a": "s3fs"}


class RemoteStore(ArtifactStore):
    """`<url>/<model>/<version>/<file>`; a file is written once, the manifest last.

    Args:
        url: such as s3://bucket/folder.
        cache: a folder of this machine, in which a file lies only after its digest was right.

    Raises:
        SettingsError: the library that the URL needs is not installed.
    """

    def __init__(self, url: str, cache: Path) -> None:
        scheme = url.partition("://")[0]
        library = LIBRARIES.get(scheme, "fsspec")
        if importlib.util.find_spec(library) is None:
            raise SettingsError(
                f"SANGUINE_MODEL_STORE: {scheme}:// needs {library}; pip install -r requirements-s3.txt"
            )
        self._url = url.rstrip("/")
        self._options = S3_OPTIONS if library == "s3fs" else {}
        self._cache = cache
        self._cached = FolderStore(cache)
        self._opened: tuple[int, Any, str] | None = None

    def read(self, model: str, version: str, file: str, *, sha256: str) -> bytes:
        """Return the content of a file; see `ArtifactStore.read`."""
        try:
            return self._cached.read(model, version, file, sha256=sha256)
        except ArtifactError:  # not there yet, or spoilt since
            content = self._fetch(model, version, file)
        if content is None:
            raise ArtifactError(f"model {model}: {file} of version {version} is missing in {self._url}; {RESTORE}")
        verified(content, sha256, model=model, version=version, file=file)
        self._keep(model, version, file, content)
        return content

    def find(self, model: str, version: str, file: str) -> bytes | None:
        """Return the content of a file or None; see `ArtifactStore.find`."""
        try:
            content = self._fetch(model, version, file)
        except Unavailable:
            if (kept := self._cached.find(model, version, file)) is None:
                raise
            return kept
        if content is not None:
            self._keep(model, version, file, content)
        return content

    def on_disk(self, model: str, entry: CatalogueEntry) -> Path:
        """Fetch what is not there yet; see `ArtifactStore.on_disk`."""
        content = self.read(model, entry.version, MANIFEST, sha256=entry.manifest_sha256)
        for file, sha256 in Manifest.model_validate_json(content).files.items():
            self.read(model, entry.version, file, sha256=sha256)
        self.find(model, entry.version, SIGNATURE)
        return self._cache

    def publish(self, model: str, version: str, folder: Path) -> None:
        """Upload the files, then the manifest: until then there is no version; see `ArtifactStore.publish`."""
        with self._remote() as (files, root):
            place = f"{root}/{model}/{version}"
            if files.exists(f"{place}/{MANIFEST}"):
                raise _there_already(model, version)
            for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
                try:
                    files.put_file(str(path), f"{place}/{path.name}", mode="create")
                except FileExistsError:  # of a publication that was broken off, or goes on at this moment
                    with path.open("rb") as file, files.open(f"{place}/{path.name}", "rb") as other:
                        if file_digest(file, "sha256").digest() != file_digest(other, "sha256").digest():
                            raise _there_already(model, version, "with other files") from None

    def remove(self, model: str, version: str) -> None:
        """Remove the manifest, then the files; see `ArtifactStore.remove`."""
        with self._remote() as (files, root):
            place = f"{root}/{model}/{version}"
            names = [path.rpartition("/")[2] for path in files.find(place)]
            for name in sorted(names, key=lambda name: name != MANIFEST):
                files.rm_file(f"{place}/{name}")
        self._cached.remove(model, version)

    def _fetch(self, model: str, version: str, file: str) -> bytes | None:
        with self._remote() as (files, root):
            try:
                content: bytes = files.cat_file(f"{root}/{model}/{version}/{file}")
            except FileNotFoundError:
                return None
            return content

    def _keep(self, model: str, version: str, file: str, content: bytes) -> None:
        """Put a file into the cache in one step."""
        folder = self._cache / model / version
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cache) as drafts:
                draft = Path(drafts) / file
                draft.write_bytes(content)
                draft.replace(folder / file)
        except OSError as error:
            raise Unavailable(f"the cache of models {self._cache} cannot be written ({error.strerror})") from error

    @contextmanager
    def _remote(self) -> Iterator[tuple[Any, str]]:
        """Give the file system and the path of the store in it; whatever goes wrong there is `Unavailable`."""
        try:
            yield self._open()
        except (Conflict, ArtifactError):
            raise
        except Exception as error:  # each library has its own errors
            raise Unavailable(f"the model store {self._url} does not answer ({type(error).__name__})") from error

    def _open(self) -> tuple[Any, str]:
        """Return the file system of this process: its connections and its thread do not survive a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            # Only here: it takes a third of a second, and whoever finds all in the cache needs nothing of it.
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # noqa: PLC0415

            files, root = url_to_fs(self._url, skip_instance_cache=True, **self._options)
            self._opened = (os.getpid(), files, root.rstrip("/"))
        return self._opened[1:]


def _there_already(model: str, version: str, how: str = "") -> Conflict:
    return Conflict(" ".join(f"version {version} of model {model} is there already {how}".split()))
