"""Versions as they come in: a folder with a manifest that fits its files."""

from pathlib import Path

from backend.inference.manifest import (
    GOLDEN,
    MANIFEST,
    CatalogueEntry,
    Column,
    Golden,
    Manifest,
    Training,
    digest,
)


def release_of(
    folder: Path,
    model: str,
    version: str,
    *,
    weights: bytes = b"0.5",
    file: str = "weights.txt",
    runtime: str = "sum",
    columns: tuple[str, ...] = ("a",),
    golden: Golden | None = None,
) -> CatalogueEntry:
    """Write a version of a model that adds a number to its column, and return what names it."""
    golden = golden or Golden(rows=((1.0,),), outputs=(1.5,))
    contents = {file: weights, GOLDEN: golden.model_dump_json().encode(), "CARD.md": b"# A card\n"}
    manifest = Manifest(
        name=model,
        version=version,
        runtime=runtime,
        file=file,
        files={name: digest(content) for name, content in contents.items()},
        columns=tuple(Column(name=name, unit="1", description=name) for name in columns),
        output="sum",
        training=Training(data="none", fingerprint="0", seed=1, rows=0, since="2025-01-01", until="2025-01-02"),
    )
    text = manifest.model_dump_json(indent=1).encode()
    folder.mkdir(parents=True)
    for name, content in (contents | {MANIFEST: text}).items():
        (folder / name).write_bytes(content)
    return CatalogueEntry(version=version, manifest_sha256=digest(text))
