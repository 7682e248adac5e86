import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.errors import ArtifactError, UnknownModel
from backend.inference.catalogue import Catalogue
from backend.inference.manifest import digest

FILES = ("weights.txt", "golden.json", "manifest.json")


def resign(root: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change the manifest of `adder` and give the catalogue the new digest, as a careless or hostile writer could."""
    path = root / "adder" / "1" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))
    model_map = json.loads((root / "model_map.json").read_bytes())
    model_map["models"]["adder"]["manifest_sha256"] = digest(path.read_bytes())
    (root / "model_map.json").write_text(json.dumps(model_map))


def assert_only_adder_is_refused(catalogue: Catalogue, match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        catalogue.read("adder")
    assert catalogue.names() == ("adder", "other")
    assert catalogue.read("other").weights == b"0.5"


@pytest.fixture(autouse=True)
def _two_models(write: Callable[..., Path]) -> None:
    write("adder")
    write("other")


def test_a_missing_catalogue_says_which_file_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model_map\.json cannot be read \(No such file or directory\); train"):
        Catalogue(tmp_path / "nowhere").names()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"models": []}', "null", "\xff"])
def test_a_catalogue_that_is_not_one_is_refused(root: Path, catalogue: Catalogue, text: str) -> None:
    (root / "model_map.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r'model_map\.json is not a JSON object with "models"'):
        catalogue.names()


def test_an_unknown_model_is_told_the_known_ones(catalogue: Catalogue) -> None:
    for ask in (catalogue.read, catalogue.manifest, catalogue.require):
        with pytest.raises(UnknownModel, match="no model 'adder2'; the catalogue has adder, other"):
            ask("adder2")


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named_and_the_other_model_stays_usable(root: Path, catalogue: Catalogue, file: str) -> None:
    (root / "adder" / "1" / file).unlink()
    assert_only_adder_is_refused(catalogue, f"model adder: {file} of version 1 is missing; restore")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(file=st.sampled_from(FILES), data=st.data())
def test_a_file_with_any_byte_changed_or_cut_off_is_refused(
    root: Path, catalogue: Catalogue, file: str, data: st.DataObject
) -> None:
    path = root / "adder" / "1" / file
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    try:
        for wrong in (flipped, content[:at], content + b" "):
            path.write_bytes(wrong)
            assert_only_adder_is_refused(catalogue, f"model adder: {file} of version 1 is truncated or altered")
    finally:
        path.write_bytes(content)
    assert catalogue.read("adder").weights == b"0.5"


@pytest.mark.parametrize(
    "entry", [None, "1", {}, {"version": "1"}, {"version": "../other/1", "manifest_sha256": "0" * 64}]
)
def test_an_entry_that_is_not_one_is_refused(root: Path, catalogue: Catalogue, entry: object) -> None:
    model_map = json.loads((root / "model_map.json").read_bytes())
    model_map["models"]["adder"] = entry
    (root / "model_map.json").write_text(json.dumps(model_map))
    assert_only_adder_is_refused(catalogue, r"model adder: its entry in model_map\.json is not valid")


def test_a_manifest_that_is_not_valid_says_where(root: Path, catalogue: Catalogue) -> None:
    resign(root, lambda manifest: manifest.update(columns=[{"name": "a"}], surprise=1))
    assert_only_adder_is_refused(
        catalogue, r"manifest\.json is not valid \(columns\.0\.unit: Field required; .*surprise"
    )


def test_a_file_path_that_leads_out_of_its_folder_is_refused(root: Path, catalogue: Catalogue) -> None:
    secret = root.parent / "secret.txt"
    secret.write_bytes(b"1.0")
    resign(root, lambda m: m.update(file="../../../secret.txt", files={"../../../secret.txt": digest(b"1.0")}))
    assert_only_adder_is_refused(catalogue, r"manifest\.json is not valid")


def test_a_model_name_that_leads_out_of_the_models_folder_is_refused(root: Path, catalogue: Catalogue) -> None:
    outside = root.parent / "outside" / "1"
    outside.mkdir(parents=True)
    (outside / "manifest.json").write_bytes(b"{}")
    models = {"../outside": {"version": "1", "manifest_sha256": digest(b"{}")}}
    (root / "model_map.json").write_text(json.dumps({"models": models}))
    with pytest.raises(ArtifactError, match="not a file inside the models folder"):
        catalogue.read("../outside")


def test_a_link_out_of_the_models_folder_is_refused_even_with_the_right_content(
    root: Path, catalogue: Catalogue
) -> None:
    weights = root / "adder" / "1" / "weights.txt"
    outside = root.parent / "weights.txt"
    weights.rename(outside)
    weights.symlink_to(outside)
    assert_only_adder_is_refused(catalogue, r"weights\.txt is not a file inside the models folder")


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(root: Path, catalogue: Catalogue) -> None:
    weights = root / "adder" / "1" / "weights.txt"
    weights.unlink()
    os.mkfifo(weights)
    assert_only_adder_is_refused(catalogue, r"weights\.txt is not a file")


@pytest.mark.parametrize("needed", ["weights.txt", "golden.json"])
def test_a_file_without_a_digest_is_not_used(root: Path, catalogue: Catalogue, needed: str) -> None:
    resign(root, lambda manifest: manifest["files"].pop(needed))
    assert_only_adder_is_refused(catalogue, rf"manifest\.json has no digest of {needed}")


def test_the_manifest_of_another_model_is_refused(root: Path, catalogue: Catalogue) -> None:
    resign(root, lambda manifest: manifest.update(name="other"))
    assert_only_adder_is_refused(catalogue, r"manifest\.json is that of other 1")


def test_golden_rows_that_are_not_valid_are_refused(root: Path, catalogue: Catalogue) -> None:
    golden = b'{"rows": [[1.0, 2.0]], "outputs": []}'
    (root / "adder" / "1" / "golden.json").write_bytes(golden)
    resign(root, lambda manifest: manifest["files"].update({"golden.json": digest(golden)}))
    assert_only_adder_is_refused(catalogue, r"golden\.json is not valid \(outputs")
