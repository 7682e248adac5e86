import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from backend.inference.catalogue import Catalogue
from backend.inference.manifest import CatalogueEntry, Golden, Manifest, Reference, digest, write_version


def test_what_is_written_is_what_the_catalogue_reads(
    root: Path, write: Callable[..., Path], catalogue: Catalogue
) -> None:
    folder = write("adder")
    artifact = catalogue.read("adder")
    assert folder == root / "adder" / "1"
    assert artifact.weights == b"0.5"
    assert artifact.manifest.files["weights.txt"] == digest(b"0.5")
    assert artifact.manifest.column_names == ("a", "b")


def test_a_new_version_takes_the_place_of_the_old_one_and_leaves_other_models(
    write: Callable[..., Path], catalogue: Catalogue
) -> None:
    write("adder")
    write("other")
    write("adder", version="2", offset=7.0)
    assert catalogue.names() == ("adder", "other")
    assert catalogue.read("adder").weights == b"7.0"
    assert catalogue.read("other").weights == b"0.5"


def test_writing_leaves_no_draft_behind(root: Path, write: Callable[..., Path]) -> None:
    write("adder")
    assert sorted(path.name for path in root.iterdir()) == ["adder", "model_map.json"]


@pytest.mark.parametrize("missing", ["weights.txt", "golden.json"])
def test_a_version_without_weights_or_golden_rows_is_not_written(
    root: Path, write: Callable[..., Path], missing: str
) -> None:
    folder = write("adder")
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    contents = {name: (folder / name).read_bytes() for name in manifest.files if name != missing}
    with pytest.raises(ValueError, match=missing):
        write_version(root / "elsewhere", manifest, contents)
    assert not (root / "elsewhere").exists()


@pytest.mark.parametrize("name", ["../weights.txt", "/etc/passwd", "..", ".hidden", "a/b", ""])
def test_a_file_name_that_leads_elsewhere_is_not_written(root: Path, write: Callable[..., Path], name: str) -> None:
    folder = write("adder")
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    contents = {"weights.txt": b"1", "golden.json": b"{}", name: b"x"}
    with pytest.raises(ValidationError):
        write_version(root / "elsewhere", manifest, contents)
    assert not (root / "elsewhere").exists()


@pytest.mark.parametrize("version", ["..", "../1", "1/2", ""])
def test_a_version_that_leads_elsewhere_is_refused(version: str) -> None:
    with pytest.raises(ValidationError):
        CatalogueEntry(version=version, manifest_sha256="0" * 64)


def test_golden_rows_keep_missing_values_through_json() -> None:
    golden = Golden(rows=((1.0, None),), outputs=(2.0,))
    assert Golden.model_validate(json.loads(golden.model_dump_json())) == golden


@pytest.mark.parametrize(("rows", "outputs"), [(((1.0,),), (1.0, 2.0)), (((1.0,), (1.0, 2.0)), (1.0, 2.0)), ((), ())])
def test_golden_rows_need_one_output_each_and_equal_lengths(
    rows: tuple[tuple[float, ...], ...], outputs: tuple[float, ...]
) -> None:
    with pytest.raises(ValidationError):
        Golden(rows=rows, outputs=outputs)


def learnt() -> tuple[np.ndarray, Reference]:
    """Rows (500, 2), the second column with few values and some missing, and what is kept of them."""
    rng = np.random.default_rng(1)
    rows = np.column_stack((rng.normal(size=500), rng.choice([0.0, 1.0, np.nan], 500)))
    return rows, Reference.fit(("a", "b"), rows, rng.random(500))


def test_a_reference_puts_values_into_the_same_bins_after_it_was_written_and_read(
    root: Path, write: Callable[..., Path], catalogue: Catalogue
) -> None:
    folder = write("adder")
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    contents = {name: (folder / name).read_bytes() for name in manifest.files}
    rows, reference = learnt()
    write_version(root, manifest.model_copy(update={"reference": reference}), contents)
    found = catalogue.read("adder").manifest.reference
    assert found == reference
    for place, name in enumerate(("a", "b")):
        bins = found.columns[name]
        count = np.bincount(bins.places(rows[:, place]), minlength=len(bins.shares))
        assert bins.shares == pytest.approx(count / found.rows, abs=1e-6)


def test_a_manifest_written_before_there_were_references_is_still_read(write: Callable[..., Path]) -> None:
    content = json.loads((write("adder") / "manifest.json").read_bytes())
    del content["reference"]
    assert Manifest.model_validate(content).reference is None


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c"), ("a", "c")])
def test_a_reference_of_other_columns_is_refused(write: Callable[..., Path], names: tuple[str, ...]) -> None:
    content = json.loads((write("adder") / "manifest.json").read_bytes())
    _, reference = learnt()
    content["reference"] = reference.model_dump() | {"columns": dict.fromkeys(names, reference.output)}
    with pytest.raises(ValidationError, match="the columns of the model, and no other"):
        Manifest.model_validate(content)


def test_bins_that_contradict_themselves_are_refused_when_a_manifest_is_read(write: Callable[..., Path]) -> None:
    content = json.loads((write("adder") / "manifest.json").read_bytes())
    content["reference"] = json.loads(learnt()[1].model_dump_json())
    content["reference"]["output"]["shares"][0] = 0.9
    with pytest.raises(ValidationError, match="add up to 1"):
        Manifest.model_validate(content)
