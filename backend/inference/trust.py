"""Whose model versions an installation believes: Ed25519 signatures of manifests (RFC 8032).

A manifest names the digest of every other file, so its signature covers the whole version. Workers hold public keys
only; the private one stays with whoever releases models.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, ValidationError

from backend.errors import ArtifactError, SettingsError
from backend.inference.manifest import Manifest, digest

SIGNATURE = "manifest.sig"
EXECUTABLE = (".joblib", ".pickle", ".pkl", ".pt", ".pt2", ".pth")
"""Files that run code of their author's choice when they are read."""


class Signature(BaseModel):
    """What `manifest.sig` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    ed25519: str


class TrustTerms(BaseModel):
    """What another process needs to trust the same versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[str, ...]  # base64 of the 32 bytes of each
    required: bool
    executable: bool


class Trust:
    """The public keys of this installation, and what it asks of a version.

    Args:
        keys: who may sign.
        required: refuse what none of them signed.
        executable: read formats that execute code, if one of them signed it.
    """

    def __init__(
        self, keys: Iterable[Ed25519PublicKey] = (), *, required: bool = False, executable: bool = False
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._required = required
        self._executable = executable

    @classmethod
    def from_folder(cls, folder: Path | None, *, required: bool = False, executable: bool = False) -> Self:
        """Read every `*.pem` of a folder.

        Raises:
            SettingsError: the folder or a key cannot be read, or signatures are required and there is no key.
        """
        if folder is not None and not folder.is_dir():
            raise SettingsError(f"SANGUINE_MODEL_KEYS_DIR: there is no folder {folder}; put public keys (*.pem) there")
        keys = [] if folder is None else [_read_key(path) for path in sorted(folder.glob("*.pem"))]
        if (required or executable) and not keys:
            where = "SANGUINE_MODEL_KEYS_DIR is not set" if folder is None else f"there is no public key in {folder}"
            raise SettingsError(f"signed models are asked for and {where}; write one with `flask models keys`")
        return cls(keys, required=required, executable=executable)

    @classmethod
    def from_terms(cls, terms: TrustTerms) -> Self:
        """Return what trusts as another process told with `terms`."""
        keys = [Ed25519PublicKey.from_public_bytes(b64decode(key)) for key in terms.keys]
        return cls(keys, required=terms.required, executable=terms.executable)

    @property
    def terms(self) -> TrustTerms:
        """What another process needs to trust the same."""
        keys = tuple(b64encode(key.public_bytes_raw()).decode() for key in self._keys.values())
        return TrustTerms(keys=keys, required=self._required, executable=self._executable)

    @property
    def asks(self) -> bool:
        """Whether signatures are looked at."""
        return bool(self._keys) or self._required

    def check(self, manifest: Manifest, content: bytes, signature: bytes | None) -> str | None:
        """Return the id of the key that signed a manifest, None if nobody did and nobody had to.

        Args:
            manifest: what it says.
            content: its bytes.
            signature: the bytes of the file beside it, if there is one.

        Raises:
            ArtifactError: it is not signed and must be, by a key that is not known here, or the signature is wrong.
        """
        what = f"model {manifest.name}: version {manifest.version}"
        signer = None if signature is None else self._signer(what, content, signature)
        if signer is None and self._required:
            raise ArtifactError(f"{what} is not signed, and this installation serves signed models only; sign it")
        if manifest.file.lower().endswith(EXECUTABLE) and not (signer is not None and self._executable):
            raise ArtifactError(
                f"{what}: reading {manifest.file} would execute code of whoever wrote it; save it as skops, ONNX or"
                " LightGBM text, or sign it and set SANGUINE_ALLOW_EXECUTABLE_MODELS"
            )
        return signer

    def _signer(self, what: str, content: bytes, signature: bytes) -> str | None:
        try:
            given = Signature.model_validate_json(signature)
        except ValidationError as error:
            raise ArtifactError(f"{what}: {SIGNATURE} is not a signature; sign the version again") from error
        if given.key not in self._keys:
            if self._required:
                raise ArtifactError(f"{what} is signed with the key {given.key}, which is not known here")
            return None
        try:
            self._keys[given.key].verify(b64decode(given.ed25519, validate=True), content)
        except (InvalidSignature, ValueError) as error:
            raise ArtifactError(f"{what}: the signature does not fit the manifest; one of them was altered") from error
        return given.key


def sign(content: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return what belongs into `manifest.sig` beside a manifest of this content."""
    made = Signature(key=key_id(key.public_key()), ed25519=b64encode(key.sign(content)).decode())
    return made.model_dump_json().encode() + b"\n"


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the first 16 digits of the SHA-256 of its 32 bytes."""
    return digest(key.public_bytes_raw())[:16]


def _read_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is not a public key in PEM; write it with `flask models keys`") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"{path} is not an Ed25519 key; write one with `flask models keys`")
    return key


OPEN = Trust()
"""Asks nothing of a version but that it executes nothing."""
