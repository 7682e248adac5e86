import subprocess
import sys
from pathlib import Path

import pytest

from backend.inference import compiled
from backend.inference.compiled import CannotCompile, CompiledCache
from backend.inference.manifest import Column, Manifest, Training, digest
from tests.said import said_by

WEIGHTS = b"tree"
CODE = b"\x7fELF and so on"
KEY = b"of this installation"


def manifest(weights: bytes = WEIGHTS, *, runtime: str = "lightgbm") -> Manifest:
    return Manifest(
        name="trees",
        version="1",
        runtime=runtime,
        file="model.txt",
        files={"model.txt": digest(weights)},
        columns=(Column(name="a", unit="1", description="column"),),
        output="number",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the compiler, which is not there in these tests, was asked to compile."""
    seen: list[bytes] = []

    def compile_(folder: Path, weights: bytes, *, seconds: float) -> bytes:
        assert folder.is_dir()
        assert seconds > 0
        seen.append(weights)
        return CODE

    monkeypatch.setattr(compiled, "_machine", lambda: "this")
    monkeypatch.setattr(compiled, "_compile", compile_)
    return seen


@pytest.fixture
def cache(tmp_path: Path, asked: list[bytes]) -> CompiledCache:
    return CompiledCache(tmp_path / "compiled", key=KEY)


@pytest.fixture
def file(cache: CompiledCache, tmp_path: Path) -> Path:
    """The file of a compiled forest."""
    assert cache.compile(manifest(), WEIGHTS)
    (path,) = (tmp_path / "compiled").iterdir()
    return path


def test_what_was_compiled_is_found_and_not_compiled_again(
    cache: CompiledCache, file: Path, asked: list[bytes]
) -> None:
    assert cache.find(manifest()) == CODE
    assert cache.compile(manifest(), WEIGHTS)
    assert asked == [WEIGHTS]


def test_where_nothing_was_compiled_no_library_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_machine", lambda: pytest.fail("it was"))
    assert CompiledCache(tmp_path / "compiled", key=KEY).find(manifest()) is None


def test_a_forest_for_another_machine_is_left_alone_and_compiled_again(
    cache: CompiledCache, file: Path, asked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_machine", lambda: "another")
    assert cache.find(manifest()) is None
    assert cache.compile(manifest(), WEIGHTS)
    assert cache.find(manifest()) == CODE
    assert asked == [WEIGHTS] * 2
    assert file.exists()


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_an_altered_file_is_not_used(cache: CompiledCache, file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with said_by(compiled) as logs:
        assert cache.find(manifest()) is None
    assert [(entry["event"], entry["model"]) for entry in logs] == [("compiled_model_unused", "trees")]


@pytest.mark.parametrize("length", [0, 16, 32, 40])
def test_a_truncated_file_is_not_used(cache: CompiledCache, file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    assert cache.find(manifest()) is None


def test_a_file_that_another_installation_sealed_is_not_used(file: Path) -> None:
    assert CompiledCache(file.parent, key=b"of another").find(manifest()) is None


def test_the_forest_of_other_weights_is_not_used_under_this_name(cache: CompiledCache, file: Path) -> None:
    other = manifest(b"other weights")
    file.rename(file.with_name(file.name.replace(digest(WEIGHTS), other.sha256)))
    assert cache.find(other) is None


def test_only_forests_of_lightgbm_are_compiled(cache: CompiledCache, asked: list[bytes]) -> None:
    assert not cache.compile(manifest(runtime="onnx"), WEIGHTS)
    assert asked == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CannotCompile("it took longer than 5 s"), "it took longer than 5 s"),
        (ImportError("no llvmlite"), "no llvmlite; pip install -r requirements-lleaves.txt"),
        (OSError("no space"), "no space"),
    ],
)
def test_a_failure_is_told_in_the_log_and_leaves_nothing(
    cache: CompiledCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(folder: Path, _weights: bytes, *, seconds: float) -> bytes:
        (folder / "model.txt").write_bytes(b"half")
        raise error

    monkeypatch.setattr(compiled, "_compile", fail)
    with said_by(compiled) as logs:
        assert not cache.compile(manifest(), WEIGHTS)
    logs[0]["reason"] = str(logs[0]["reason"])
    assert logs == [{"event": "model_not_compiled", "model": "trees", "version": "1", "reason": reason}]
    assert list((tmp_path / "compiled").iterdir()) == []


def test_nobody_else_may_look_into_the_folder(file: Path) -> None:
    assert file.parent.stat().st_mode & 0o077 == 0


def test_importing_it_imports_no_compiler() -> None:
    script = "import sys, backend.inference.compiled; print({'llvmlite', 'lleaves', 'lightgbm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
