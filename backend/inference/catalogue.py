"""The models on disk: read, and compared with their digests before anything parses them.

`model_map.json` names, for each model, the version that is served and the SHA-256 of its manifest; the manifest names
the SHA-256 of every other file. A truncated LightGBM file ends the process that parses it, and a flipped digit loads
and predicts something else, so no parser sees a byte that has not been verified.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from backend.errors import ArtifactError, UnknownModel
from backend.inference.manifest import GOLDEN, MANIFEST, MODEL_MAP, CatalogueEntry, Golden, Manifest, digest

RESTORE = "restore the released files or train the model again"

Parsed = TypeVar("Parsed", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of one model, every byte of it verified."""

    manifest: Manifest
    weights: bytes
    golden: Golden


class Catalogue:
    """The folder of models. It is read anew at every call, so repaired files are seen without a restart."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> tuple[str, ...]:
        """Return the names of all models, sorted, whatever state their files are in.

        Raises:
            ArtifactError: the catalogue itself is missing or unreadable.
        """
        return tuple(sorted(self._entries()))

    def manifest(self, model: str) -> Manifest:
        """Return the verified manifest of the version that is served.

        Raises:
            UnknownModel: no such model.
            ArtifactError: its entry or its manifest is missing, altered or unreadable.
        """
        entry = _parse(CatalogueEntry, json.dumps(self._entry(model)), f"model {model}: its entry in {MODEL_MAP}")
        content = self._verified(model, entry.version, MANIFEST, entry.manifest_sha256)
        manifest = _parse(Manifest, content, f"model {model}: {MANIFEST}")
        if (manifest.name, manifest.version) != (model, entry.version):
            raise ArtifactError(f"model {model}: {MANIFEST} is that of {manifest.name} {manifest.version}; {RESTORE}")
        return manifest

    def read(self, model: str) -> Artifact:
        """Read and verify every file of the version that is served.

        Raises:
            UnknownModel: no such model.
            ArtifactError: a file is missing, altered or unreadable; the message names the model and the file.
        """
        manifest = self.manifest(model)
        for needed in (manifest.file, GOLDEN):
            if needed not in manifest.files:
                raise ArtifactError(f"model {model}: {MANIFEST} has no digest of {needed}; write the version again")
        contents = {
            file: self._verified(model, manifest.version, file, sha256) for file, sha256 in manifest.files.items()
        }
        golden = _parse(Golden, contents[GOLDEN], f"model {model}: {GOLDEN}")
        return Artifact(manifest=manifest, weights=contents[manifest.file], golden=golden)

    def require(self, model: str) -> None:
        """Check that `model` is in the catalogue, whatever state its files are in.

        Raises:
            UnknownModel: it is not; the message lists those that are.
            ArtifactError: the catalogue itself is missing or unreadable.
        """
        self._entry(model)

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

    def _verified(self, model: str, version: str, file: str, sha256: str) -> bytes:
        """Return the content of a file, read once: what is hashed here is what is parsed later."""
        path = self._root / model / version / file
        try:
            resolved = path.resolve(strict=True)
            if not resolved.is_relative_to(self._root.resolve()) or not resolved.is_file():
                raise ArtifactError(f"model {model}: {file} is not a file inside the models folder; {RESTORE}")
            content = resolved.read_bytes()
        except FileNotFoundError as error:
            raise ArtifactError(f"model {model}: {file} of version {version} is missing; {RESTORE}") from error
        except (OSError, ValueError) as error:
            raise ArtifactError(f"model {model}: {file} of version {version} cannot be read; {RESTORE}") from error
        if digest(content) != sha256:
            raise ArtifactError(
                f"model {model}: {file} of version {version} is truncated or altered, its SHA-256 differs; {RESTORE}"
            )
        return content


def _parse(kind: type[Parsed], content: str | bytes, what: str) -> Parsed:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the text'}: {e['msg']}" for e in error.errors())
        raise ArtifactError(f"{what} is not valid ({where}); write the version again") from error
