"""Whom an installation believes."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ArtifactError, SettingsError
from backend.inference.manifest import MANIFEST, Manifest
from backend.inference.trust import OPEN, Signature, Trust, key_id, sign
from tests.contract.versions import release_of

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NAME = key_id(KEY.public_key())


def public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A manifest, as it lies on a disk."""
    folder = tmp_path_factory.mktemp("models") / "adder"
    release_of(folder, "adder", "1")
    return (folder / MANIFEST).read_bytes()


@pytest.fixture(scope="module")
def manifest(content: bytes) -> Manifest:
    return Manifest.model_validate_json(content)


def executable(manifest: Manifest, file: str = "model.joblib") -> Manifest:
    return manifest.model_copy(update={"file": file})


def test_a_signature_says_who_signed(manifest: Manifest, content: bytes):
    for trust in (Trust([KEY.public_key()]), Trust([OTHER.public_key(), KEY.public_key()], required=True)):
        assert trust.check(manifest, content, sign(content, KEY)) == NAME


def test_what_nobody_signed_is_refused_only_where_signatures_are_required(manifest: Manifest, content: bytes):
    assert Trust([KEY.public_key()]).check(manifest, content, None) is None
    assert OPEN.check(manifest, content, None) is None
    with pytest.raises(ArtifactError, match="model adder: version 1 is not signed"):
        Trust([KEY.public_key()], required=True).check(manifest, content, None)


def test_a_stranger_counts_as_nobody(manifest: Manifest, content: bytes):
    signature = sign(content, OTHER)
    assert Trust([KEY.public_key()]).check(manifest, content, signature) is None
    with pytest.raises(ArtifactError, match=r"is signed with the key .*, which is not known here"):
        Trust([KEY.public_key()], required=True).check(manifest, content, signature)


def test_a_stranger_who_uses_the_name_of_a_known_key_is_found_out(manifest: Manifest, content: bytes):
    forged = Signature(key=NAME, ed25519=Signature.model_validate_json(sign(content, OTHER)).ed25519)
    with pytest.raises(ArtifactError, match="the signature does not fit the manifest"):
        Trust([KEY.public_key()]).check(manifest, content, forged.model_dump_json().encode())


@given(place=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_a_manifest_with_any_byte_changed_is_refused(manifest: Manifest, content: bytes, place: int, flip: int):
    place %= len(content)
    altered = content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
    with pytest.raises(ArtifactError, match="the signature does not fit the manifest"):
        Trust([KEY.public_key()]).check(manifest, altered, sign(content, KEY))


@given(st.binary())
def test_bytes_that_are_no_signature_are_refused(manifest: Manifest, content: bytes, signature: bytes):
    with pytest.raises(ArtifactError, match=r"manifest\.sig is not a signature"):
        Trust([KEY.public_key()]).check(manifest, content, signature)


@given(st.text())
def test_no_text_in_the_place_of_a_signature_is_one(manifest: Manifest, content: bytes, text: str):
    signature = Signature(key=NAME, ed25519=text).model_dump_json().encode()
    with pytest.raises(ArtifactError, match="does not fit"):
        Trust([KEY.public_key()]).check(manifest, content, signature)


@pytest.mark.parametrize("file", ["model.joblib", "model.pkl", "MODEL.PKL", "model.pickle", "net.pt", "net.Pth"])
def test_what_executes_code_needs_a_known_signature_and_leave(manifest: Manifest, content: bytes, file: str):
    found, keys = executable(manifest, file), [KEY.public_key()]
    signature = sign(content, KEY)
    assert Trust(keys, executable=True).check(found, content, signature) == NAME
    for trust, given_signature in (
        (OPEN, None),
        (Trust(keys), signature),
        (Trust(keys, executable=True), None),
        (Trust(keys, executable=True), sign(content, OTHER)),
        (Trust(executable=True), signature),
    ):
        with pytest.raises(ArtifactError, match="would execute code of whoever wrote it"):
            trust.check(found, content, given_signature)


def test_another_process_trusts_the_same(manifest: Manifest, content: bytes):
    trust = Trust([KEY.public_key()], required=True, executable=True)
    other = Trust.from_terms(type(trust.terms).model_validate_json(trust.terms.model_dump_json()))
    assert other.terms == trust.terms
    assert other.check(executable(manifest), content, sign(content, KEY)) == NAME


def test_every_pem_of_the_folder_is_a_key(tmp_path: Path, manifest: Manifest, content: bytes):
    (tmp_path / "a.pem").write_bytes(public_pem(KEY))
    (tmp_path / "b.pem").write_bytes(public_pem(OTHER))
    (tmp_path / "README").write_text("whose they are", encoding="utf-8")
    trust = Trust.from_folder(tmp_path, required=True)
    assert {trust.check(manifest, content, sign(content, key)) for key in (KEY, OTHER)} == {
        NAME,
        key_id(OTHER.public_key()),
    }


def test_a_folder_without_keys_is_a_mistake_only_if_they_are_needed(tmp_path: Path):
    assert not Trust.from_folder(tmp_path).asks
    assert not Trust.from_folder(None).asks
    for options in ({"required": True}, {"executable": True}):
        with pytest.raises(SettingsError, match="there is no public key in"):
            Trust.from_folder(tmp_path, **options)
        with pytest.raises(SettingsError, match="SANGUINE_MODEL_KEYS_DIR is not set"):
            Trust.from_folder(None, **options)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path):
    with pytest.raises(SettingsError, match="SANGUINE_MODEL_KEYS_DIR: there is no folder"):
        Trust.from_folder(tmp_path / "keys")


def test_a_private_key_or_another_kind_of_key_stops_the_start(tmp_path: Path):
    path = tmp_path / "a.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SettingsError, match="is not a public key in PEM"):
        Trust.from_folder(tmp_path)
    curve = generate_private_key(SECP256R1()).public_key()
    path.write_bytes(curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SettingsError, match="is not an Ed25519 key"):
        Trust.from_folder(tmp_path)
