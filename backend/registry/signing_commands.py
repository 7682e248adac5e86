"""Commands for those who release models: a pair of keys, and signatures of versions."""

import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from backend.errors import ArtifactError
from backend.inference.manifest import MANIFEST, Manifest
from backend.inference.trust import SIGNATURE, Trust, key_id, sign

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("keys")
@click.argument("folder", type=FOLDER)
def write_keys(folder: Path) -> None:
    """Write a new pair of Ed25519 keys into FOLDER."""
    key = Ed25519PrivateKey.generate()
    name = key_id(key.public_key())
    private, public = folder / f"{name}.key", folder / f"{name}.pem"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    click.echo(f"private key {private}: keep it with whoever releases models, on no server")
    click.echo(f"public key  {public}: copy it to the folder SANGUINE_MODEL_KEYS_DIR of every installation")


@click.command("sign")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True)
def sign_version(folder: Path, key_file: Path) -> None:
    """Sign the version of a model in FOLDER with the private key in a file: writes manifest.sig."""
    key = _read_private(key_file)
    content, manifest = _read_manifest(folder / MANIFEST)
    path, name = folder / SIGNATURE, key_id(key.public_key())
    what = f"version {manifest.version} of {manifest.name}"
    if path.exists() and _fits(path.read_bytes(), key, manifest, content):
        click.echo(f"{what} is signed with the key {name} already")
        return
    draft = path.with_suffix(".new")
    draft.write_bytes(sign(content, key))
    draft.replace(path)
    click.echo(f"{what} is signed with the key {name}")


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it has a password
        raise click.ClickException(
            f"{path} is no private key in PEM without a password; see `flask models keys`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise click.ClickException(f"{path} is no Ed25519 key; write one with `flask models keys`")
    return key


def _read_manifest(path: Path) -> tuple[bytes, Manifest]:
    try:
        content = path.read_bytes()
        return content, Manifest.model_validate_json(content)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror}); name the folder of a version") from error
    except ValidationError as error:
        raise click.ClickException(f"{path} is no manifest of a version; write the version again") from error


def _fits(signature: bytes, key: Ed25519PrivateKey, manifest: Manifest, content: bytes) -> bool:
    try:
        Trust([key.public_key()], required=True, executable=True).check(manifest, content, signature)
    except ArtifactError:  # of another key or another content, or none at all
        return False
    return True
