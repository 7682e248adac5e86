"""Keys and signatures from the command line."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from backend.errors import ArtifactError
from backend.inference.catalogue import read_manifest
from backend.inference.store import FolderStore
from backend.inference.trust import SIGNATURE, Trust
from backend.registry.signing_commands import sign_version, write_keys
from tests.contract.versions import release_of


def make_keys(folder: Path) -> tuple[Path, Path]:
    """The files of a new private and public key."""
    before = set(folder.glob("*"))
    assert CliRunner().invoke(write_keys, [str(folder)]).exit_code == 0
    private, public = sorted(set(folder.glob("*")) - before)
    return private, public


def sign(folder: Path, key: Path) -> Result:
    return CliRunner().invoke(sign_version, [str(folder), "--key", str(key)])


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The folder of a version that nobody signed."""
    release_of(tmp_path / "models" / "adder" / "1", "adder", "1")
    return tmp_path / "models" / "adder" / "1"


def test_the_private_key_is_for_its_owner_only_and_both_say_where_they_belong(tmp_path: Path):
    told = CliRunner().invoke(write_keys, [str(tmp_path / "keys")]).output
    private, public = sorted((tmp_path / "keys").iterdir())
    assert (private.suffix, public.suffix, private.stem) == (".key", ".pem", public.stem)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert public.read_text().startswith("-----BEGIN PUBLIC KEY-----")
    assert f"private key {private}: keep it with whoever releases models" in told
    assert "SANGUINE_MODEL_KEYS_DIR" in told


def test_each_call_makes_another_pair(tmp_path: Path):
    assert make_keys(tmp_path)[0].stem != make_keys(tmp_path)[0].stem


def test_a_signed_version_is_trusted_where_signatures_are_required(keys: tuple[Path, Path], version: Path):
    store, trust = FolderStore(version.parents[1]), Trust.from_folder(keys[1].parent, required=True)
    entry = release_of(version.parents[2] / "same", "adder", "1")
    with pytest.raises(ArtifactError, match="is not signed"):
        read_manifest(store, "adder", entry, trust=trust)
    told = sign(version, keys[0])
    assert (told.exit_code, told.output) == (0, f"version 1 of adder is signed with the key {keys[0].stem}\n")
    assert read_manifest(store, "adder", entry, trust=trust).version == "1"


def test_a_signature_that_fits_is_left_as_it_is(keys: tuple[Path, Path], version: Path):
    sign(version, keys[0])
    before = (version / SIGNATURE).stat()
    told = sign(version, keys[0])
    assert told.output == f"version 1 of adder is signed with the key {keys[0].stem} already\n"
    assert (version / SIGNATURE).stat() == before


def test_a_signature_of_an_older_manifest_or_of_another_key_is_replaced(keys: tuple[Path, Path], version: Path):
    sign(version, keys[0])
    first = (version / SIGNATURE).read_bytes()
    manifest = version / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    sign(version, keys[0])
    second = (version / SIGNATURE).read_bytes()
    sign(version, make_keys(keys[0].parent)[0])
    assert len({first, second, (version / SIGNATURE).read_bytes()}) == 3


def test_a_version_that_executes_code_when_it_is_read_is_signed_once_too(keys: tuple[Path, Path], tmp_path: Path):
    release_of(tmp_path / "odd", "odd", "1", file="model.joblib")
    sign(tmp_path / "odd", keys[0])
    assert sign(tmp_path / "odd", keys[0]).output.endswith("already\n")


def test_what_is_no_private_key_is_refused(keys: tuple[Path, Path], version: Path, tmp_path: Path):
    told = sign(version, keys[1])
    assert (told.exit_code, "is no private key in PEM" in told.output) == (1, True)
    curve = generate_private_key(SECP256R1())
    for encryption, reason in ((NoEncryption(), "is no Ed25519 key"), (BestAvailableEncryption(b"x"), "without a")):
        (tmp_path / "other.key").write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        told = sign(version, tmp_path / "other.key")
        assert (told.exit_code, reason in told.output) == (1, True)
    assert not (version / SIGNATURE).exists()


def test_what_is_no_version_is_refused(keys: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "cannot be read" in sign(tmp_path / "empty", keys[0]).output
    (tmp_path / "empty" / "manifest.json").write_bytes(b"{}")
    told = sign(tmp_path / "empty", keys[0])
    assert (told.exit_code, "is no manifest of a version" in told.output) == (1, True)
