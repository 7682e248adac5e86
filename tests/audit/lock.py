"""The lock: which packages requirements files pin, and the hashes of the files they may come from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
NAMES = re.compile(r"^-r (\S+)$", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a package, for the machines that its marker describes; the SHA-256 of its files in hexadecimal."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name as the index spells it."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """Return the version."""
        return next(iter(self.requirement.specifier)).version

    @property
    def applies(self) -> bool:
        """Return whether it is for this machine and this Python."""
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def read_pins(path: Path) -> Iterator[Pin]:
    """Yield what a file pins, and what the files pin that it refers to."""
    text = path.read_text().replace("\\\n", " ")
    for other in NAMES.findall(text):
        yield from read_pins(path.parent / other)
    for line in text.splitlines():
        said = line.partition(" #")[0].strip()
        if said and not said.startswith(("#", "-")):
            yield Pin(Requirement(said.partition(" --hash=")[0]), tuple(HASH.findall(said)))


def not_as_pinned(path: Path) -> list[str]:
    """Return what is missing in this environment, or there in another version, one line for each package."""
    return [
        f"{pin.name} {pin.version} is pinned, {_installed(pin.name) or 'none'} is installed"
        for pin in read_pins(path)
        if pin.applies and not pin.requirement.specifier.contains(_installed(pin.name) or "", prereleases=True)
    ]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
