import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from backend.settings import PROJECT
from tests.audit.lock import not_as_pinned, read_pins

DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = DECLARED["project"]["optional-dependencies"]
LOCKS = {path.name for path in PROJECT.glob("requirements*.txt")}
GROUPS = {f"requirements-{group}.txt" for group in DECLARED["dependency-groups"]}
UNHASHED = "requirements-torch.txt"


def declared(requirements: list[str]) -> set[str]:
    """The names that a list in pyproject.toml asks for, those of extras included."""
    names = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "sanguine":
            names |= {name for extra in requirement.extras for name in declared(EXTRAS[extra])}
        else:
            names.add(canonicalize_name(requirement.name))
    return names


def pinned(file: str) -> set[str]:
    return {pin.name for pin in read_pins(PROJECT / file)}


@pytest.mark.parametrize("file", sorted(LOCKS - {UNHASHED}))
def test_every_pin_is_an_exact_version_with_hashes(file: str) -> None:
    pins = list(read_pins(PROJECT / file))
    assert pins
    for pin in pins:
        assert re.fullmatch(r"==[^*]+", str(pin.requirement.specifier)), pin
        assert pin.hashes, pin


def test_only_torch_is_pinned_without_hashes_and_its_file_says_why() -> None:
    text = (PROJECT / UNHASHED).read_text()
    assert text.startswith("# Pinned, without hashes: ")
    dev = {(pin.name, pin.version) for pin in read_pins(PROJECT / "requirements-dev.txt")}
    assert {pin.name for pin in read_pins(PROJECT / UNHASHED) if (pin.name, pin.version) not in dev} == {"torch"}


def test_production_is_pinned_as_pyproject_asks() -> None:
    assert declared(DECLARED["project"]["dependencies"]) <= pinned("requirements.txt")


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_every_extra_has_a_file_with_what_it_asks_for(extra: str) -> None:
    torch = {"torch"} if extra == "dev" else set()
    assert declared(EXTRAS[extra]) - torch <= pinned(f"requirements-{extra}.txt")


def test_every_file_is_of_an_extra_or_a_group() -> None:
    assert {f"requirements-{extra}.txt" for extra in EXTRAS} | GROUPS | {"requirements.txt"} == LOCKS


@pytest.mark.parametrize("group", sorted(DECLARED["dependency-groups"]))
def test_the_tools_that_audit_and_those_that_build_are_pinned(group: str) -> None:
    assert declared(DECLARED["dependency-groups"][group]) <= pinned(f"requirements-{group}.txt")


@pytest.mark.parametrize("file", sorted(LOCKS - GROUPS - {"requirements.txt", UNHASHED}))
def test_an_extra_lists_only_what_comes_on_top_of_production(file: str) -> None:
    text = (PROJECT / file).read_text()
    assert text.startswith("-r requirements.txt\n")
    own = set(re.findall(r"^([a-z0-9.-]+)==", text, flags=re.MULTILINE))
    assert own.isdisjoint(pinned("requirements.txt"))


def test_what_installs_production_demands_hashes() -> None:
    image, make = ((PROJECT / file).read_text() for file in ("Dockerfile", "Makefile"))
    assert "pip install --no-cache-dir --require-hashes -r requirements-build.txt" in image
    assert "pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements.txt" in image
    assert "INSTALL_LOCKED := $(INSTALL) --require-hashes --no-build-isolation\n" in make
    assert "$(INSTALL_LOCKED) -r requirements.txt" in make


def test_pins_are_read_with_their_markers_comments_and_the_files_they_refer_to(tmp_path: Path) -> None:
    digests = [character * 64 for character in "ab"]
    (tmp_path / "base.txt").write_text(
        f"Base_Package==1.0 ; python_version < '3' \\\n    --hash=sha256:{digests[0]}\n    # via somebody\n"
    )
    (tmp_path / "top.txt").write_text(
        f"# why\n-r base.txt\ntop[extra]==2.0 \\\n    --hash=sha256:{digests[0]} \\\n    --hash=sha256:{digests[1]}\n"
    )
    base, top = read_pins(tmp_path / "top.txt")
    assert (base.name, base.version, base.applies, base.hashes) == ("base-package", "1.0", False, (digests[0],))
    assert (top.name, top.version, top.applies, top.hashes) == ("top", "2.0", True, tuple(digests))


def test_a_package_that_is_missing_or_of_another_version_is_named(tmp_path: Path) -> None:
    version = next(pin.version for pin in read_pins(PROJECT / "requirements.txt") if pin.name == "flask")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"flask=={version}\nno-such-package==1.0\nwerkzeug==0.1\n")
    missing, other = not_as_pinned(lock)
    assert missing == "no-such-package 1.0 is pinned, none is installed"
    assert re.fullmatch(r"werkzeug 0\.1 is pinned, \S+ is installed", other)


def wheel(folder: Path) -> Path:
    """A package of one empty module, as an index would serve it."""
    from zipfile import ZipFile  # noqa: PLC0415 - only here

    path = folder / "harmless-1.0-py3-none-any.whl"
    info = "harmless-1.0.dist-info"
    with ZipFile(path, "w") as file:
        file.writestr("harmless.py", "")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize("tampered", [False, True])
def test_pip_refuses_a_file_that_was_tampered_with(tmp_path: Path, *, tampered: bool) -> None:
    path = wheel(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"harmless==1.0 --hash=sha256:{digest}\n")
    if tampered:
        path.write_bytes(path.read_bytes() + b"\0")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-index"]
    ended = subprocess.run(
        [*pip, "--find-links", tmp_path, "--target", tmp_path / "there", "--require-hashes", "-r", lock],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode != 0) is tampered
    assert (tmp_path / "there" / "harmless.py").exists() is not tampered
    if tampered:
        assert "DO NOT MATCH THE HASHES" in ended.stderr
