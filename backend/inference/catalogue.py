"""The models on disk: read, and compared with their digests before anything parses them.

`model_map.json` names, for each model, the version that is served and the SHA-256 of its manifest; the manifest names
the SHA-256 of every other file. A truncated LightGBM file ends the process that parses it, and a flipped digit loads
and predicts something else, so no parser sees a byte that has not been verified.
"""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from backend.errors import ArtifactError, UnknownModel
from backend.inference.manifest import GOLDEN, MANIFEST, MODEL_MAP, CatalogueEntry, Golden, Manifest
from backend.inference.source import Artifact, ModelSource
from backend.inference.store import RESTORE, ArtifactStore, FolderStore
from backend.inference.trust import OPEN, SIGNATURE, Trust

Parsed = TypeVar("Parsed", bound=BaseModel)


def read_manifest(store: ArtifactStore, model: str, entry: CatalogueEntry, *, trust: Trust = OPEN) -> Manifest:
    """Return the manifest of a version, verified and trusted.

    Raises:
        ArtifactError: it is missing, altered or unreadable; the message names the model and the file.
        Unavailable: the store does not answer.
    """
    content = store.read(model, entry.version, MANIFEST, sha256=entry.manifest_sha256)
    manifest = _parse(Manifest, content, f"model {model}: {MANIFEST}")
    if (manifest.name, manifest.version) != (model, entry.version):
        raise ArtifactError(f"model {model}: {MANIFEST} is that of {manifest.name} {manifest.version}; {RESTORE}")
    trust.check(manifest, content, store.find(model, entry.version, SIGNATURE) if trust.asks else None)
    return manifest


def read_artifact(
    store: ArtifactStore, model: str, entry: CatalogueEntry, *, trust: Trust = OPEN, generation: int = 0
) -> Artifact:
    """Read and verify every file of a version.

    Raises:
        ArtifactError, Unavailable: as `read_manifest`.
    """
    manifest = read_manifest(store, model, entry, trust=trust)
    for needed in (manifest.file, GOLDEN):
        if needed not in manifest.files:
            raise ArtifactError(f"model {model}: {MANIFEST} has no digest of {needed}; write the version again")
    contents = {
        file: store.read(model, manifest.version, file, sha256=sha256) for file, sha256 in manifest.files.items()
    }
    golden = _parse(Golden, contents[GOLDEN], f"model {model}: {GOLDEN}")
    return Artifact(manifest=manifest, weights=contents[manifest.file], golden=golden, generation=generation)


class Catalogue(ModelSource):
    """The folder of models. It is read anew at every call, so repaired files are seen without a restart."""

    def __init__(self, root: Path, *, trust: Trust = OPEN) -> None:
        self._root = root
        self._trust = trust
        self.store = FolderStore(root)

    def names(self) -> tuple[str, ...]:
        """Return the names of all models; see `ModelSource.names`."""
        return tuple(sorted(self._entries()))

    def require(self, model: str) -> None:
        """Check that `model` is in the catalogue; see `ModelSource.require`."""
        self._entry(model)

    def manifest(self, model: str) -> Manifest:
        """Return the manifest of the version that is served; see `ModelSource.manifest`."""
        return read_manifest(self.store, model, self.entry(model), trust=self._trust)

    def read(self, model: str) -> Artifact:
        """Read and verify every file of the version that is served; see `ModelSource.read`."""
        return read_artifact(self.store, model, self.entry(model), trust=self._trust)

    def read_exactly(self, model: str, identity: str) -> Artifact:
        """Read this version, which must be the one that is served; see `ModelSource.read_exactly`."""
        artifact = self.read(model)
        if artifact.manifest.identity != identity:
            raise ArtifactError(
                f"model {model}: the version that was used is not there any more; submit the work again"
            )
        return artifact

    def entry(self, model: str) -> CatalogueEntry:
        """Return the version that is served and its manifest's digest.

        Raises:
            UnknownModel, ArtifactError: as `ModelSource.manifest`.
        """
        return _parse(CatalogueEntry, json.dumps(self._entry(model)), f"model {model}: its entry in {MODEL_MAP}")

    def _entry(self, model: str) -> JsonValue:
        entries = self._entries()
        if model not in entries:
            raise UnknownModel(f"no model {model!r}; the catalogue has {', '.join(sorted(entries)) or 'none'}")
        return entries[model]

    def _entries(self) -> dict[str, JsonValue]:
        path = self._root / MODEL_MAP
        try:
            models = json.loads(path.read_bytes())["models"]
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read ({error.strerror}); train the models to create it") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f'{path} is not a JSON object with "models"; {RESTORE}') from error
        if not isinstance(models, dict):
            raise ArtifactError(f'{path} is not a JSON object with "models"; {RESTORE}')
        return models


def _parse(kind: type[Parsed], content: str | bytes, what: str) -> Parsed:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the text'}: {e['msg']}" for e in error.errors())
        raise ArtifactError(f"{what} is not valid ({where}); write the version again") from error
