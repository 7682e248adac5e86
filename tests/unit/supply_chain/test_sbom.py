import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.audit.lock import read_pins
from tests.audit.sbom import MODELS, bill_of, models_in

ROOT = {"component": {"bom-ref": "root", "name": "sanguine"}}


def everything(*names: str) -> dict:
    """An environment in which each package needs all the others."""
    references = [f"{name}==1.0" for name in names]
    return {
        "bomFormat": "CycloneDX",
        "metadata": ROOT,
        "components": [{"bom-ref": f"{name}==1.0", "name": name} for name in names],
        "dependencies": [{"ref": reference, "dependsOn": references} for reference in ("root", *references)],
    }


def test_it_has_the_pinned_packages_with_the_hashes_of_the_lock_and_nothing_else(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"one-package==1.0 --hash=sha256:{'a' * 64}\n")
    bill = bill_of(everything("One_Package", "pytest"), read_pins(lock), [])
    (component,) = bill["components"]
    assert component["name"] == "One_Package"
    assert component["externalReferences"][-1]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    kept = ["One_Package==1.0"]
    assert bill["dependencies"] == [{"ref": "root", "dependsOn": kept}, {"ref": kept[0], "dependsOn": kept}]


def test_every_committed_model_is_a_component_with_its_digest_on_which_the_application_depends() -> None:
    models = models_in(MODELS)
    manifests = [json.loads(path.read_text()) for path in MODELS.glob("*/*/manifest.json")]
    assert {(model["name"], model["version"]) for model in models} == {
        (one["name"], one["version"]) for one in manifests
    }
    for model in models:
        assert model["type"] == "machine-learning-model"
        file = next(entry["value"] for entry in model["properties"] if entry["name"] == "sanguine:file")
        content = (MODELS / model["name"] / model["version"] / file).read_bytes()
        assert model["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    bill = bill_of(everything(), [], models)
    assert bill["components"] == models
    assert bill["dependencies"] == [{"ref": "root", "dependsOn": [model["bom-ref"] for model in models]}]


def test_a_model_that_was_altered_is_in_no_bill(tmp_path: Path) -> None:
    source = next(MODELS.glob("donor_availability/*"))
    shutil.copytree(source, tmp_path / source.parent.name / source.name)
    weights = tmp_path / source.parent.name / source.name / "model.txt"
    weights.write_bytes(weights.read_bytes() + b"\n")
    with pytest.raises(RuntimeError, match=r"model\.txt is not the file of its manifest"):
        models_in(tmp_path)
