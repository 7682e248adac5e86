"""`python -m tests.audit.sbom FILE`: what production installs, and the models, as CycloneDX 1.6 in JSON.

The same lock, models and Python give the same bytes: there is neither a time nor a serial number in it.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tests.audit.lock import Pin, not_as_pinned, read_pins
from tests.audit.outcome import PROJECT, PYTHON, TOOLS, last_line, run

LOCK = PROJECT / "requirements.txt"
MODELS = PROJECT / "models_artifacts"

Object = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Write the file, and say what is in it."""
    if len(arguments) != 1:
        sys.stderr.write("python -m tests.audit.sbom FILE\n")
        return 2
    if stale := not_as_pinned(LOCK):
        sys.stderr.write(
            "\n".join([*stale, "what is installed is not what production installs; `make run` installs it\n"])
        )
        return 1
    models = models_in(MODELS)
    pins = [pin for pin in read_pins(LOCK) if pin.applies]
    bom = bill_of(environment(), pins, models)
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{path}: {len(pins)} packages, {len(models)} models\n")
    return 0


def environment(tools: Path = TOOLS) -> Object:
    """Return the bill of all that is installed beside this Python.

    Raises:
        RuntimeError: it cannot be made.
    """
    ended = run(
        tools / "cyclonedx-py", "environment", PYTHON, "--pyproject", "pyproject.toml", "--mc-type", "application",
        "--spec-version", "1.6", "--output-format", "JSON", "--output-reproducible", "--no-validate",
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"cyclonedx-py made no bill of {PYTHON}: {last_line(ended.stderr)}")
    bom: Object = json.loads(ended.stdout)
    return bom


def bill_of(everything: Object, pins: Iterable[Pin], models: list[Object]) -> Object:
    """Return the bill of the pinned packages, with the hashes of their files, and of the models."""
    pinned = {pin.name: pin for pin in pins}
    packages = [
        component | {"externalReferences": [*component.get("externalReferences", []), _files_of(pinned[name])]}
        for component in everything["components"]
        if (name := canonicalize_name(component["name"])) in pinned
    ]
    root = everything["metadata"]["component"]["bom-ref"]
    kept = {component["bom-ref"] for component in packages}
    needed = [
        {"ref": entry["ref"], "dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in kept]}
        for entry in everything["dependencies"]
        if entry["ref"] in {*kept, root}
    ]
    for entry in needed:
        if entry["ref"] == root:
            entry["dependsOn"] += [model["bom-ref"] for model in models]
    return everything | {"components": packages + models, "dependencies": needed}


def models_in(folder: Path) -> list[Object]:
    """Return the committed models as components, each with the digest of the file that holds its weights.

    Raises:
        RuntimeError: a file is not the one that its manifest names.
    """
    return [_model(path.parent, json.loads(path.read_text())) for path in sorted(folder.glob("*/*/manifest.json"))]


def _model(folder: Path, manifest: Mapping[str, Any]) -> Object:
    name, version, file = manifest["name"], manifest["version"], manifest["file"]
    digest = sha256((folder / file).read_bytes()).hexdigest()
    if digest != manifest["files"][file]:
        raise RuntimeError(f"{folder / file} is not the file of its manifest; its SHA-256 is {digest}")
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{name}@{version}",
        "name": name,
        "version": version,
        "description": manifest["output"],
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "properties": [
            {"name": "sanguine:runtime", "value": manifest["runtime"]},
            {"name": "sanguine:file", "value": file},
        ],
    }


def _files_of(pin: Pin) -> Object:
    return {
        "type": "distribution",
        "url": f"https://pypi.org/simple/{pin.name}/",
        "comment": "the files that the lock admits",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
