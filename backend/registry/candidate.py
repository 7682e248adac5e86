"""Trying a version out in a process that may be lost: what it does to that process, it would do to every worker.

A LightGBM text that was cut in half ends the process that parses it, although its digest is what the manifest says if
it was cut before the manifest was written.
"""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from backend.errors import ArtifactError
from backend.inference.manifest import CatalogueEntry
from backend.inference.trust import Trust
from backend.ops import cores
from backend.ops.tether import TETHER
from backend.registry.candidate_main import Answer, Order
from backend.registry.checked import Checked
from backend.registry.registry import Registry, entry_of
from backend.registry.tables import ModelVersion
from backend.settings import PROJECT

SECONDS: Final = 120.0
CPU_SECONDS: Final = 240  # of all its threads together
MEMORY: Final = 4 << 30  # bytes of address space that libraries and their threads need before any model
MEMORY_PER_BYTE: Final = 8  # of a version's files: parsed trees take a few times the space of their text
PROGRAM = ("-m", "backend.registry.candidate_main")
PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""What a process needs of the environment; the rest may be secrets."""


def check_version(registry: Registry, version: ModelVersion, *, threads: int) -> Checked:
    """Load a registered or shipped version in a process of its own.

    Raises:
        ArtifactError: it cannot be used; the message says why.
        Unavailable: the store does not answer.
    """
    root = registry.store_of(version).on_disk(version.model, entry_of(version))
    return check_folder(root, version.model, entry_of(version), trust=registry.trust, threads=threads)


def check_folder(root: Path, model: str, entry: CatalogueEntry, *, trust: Trust, threads: int) -> Checked:
    """Load the version that lies in `<root>/<model>/<version>/` in a process of its own.

    Raises:
        ArtifactError: it cannot be used; the message says why.
    """
    size = sum(path.stat().st_size for path in (root / model / entry.version).glob("*"))
    order = Order(
        root=root.resolve(),
        model=model,
        entry=entry,
        trust=trust.terms,
        threads=threads,
        address_space=MEMORY + MEMORY_PER_BYTE * size,
        cpu_seconds=CPU_SECONDS,
        seconds=2 * math.ceil(SECONDS),
        cores=cores.of_machine(),
    )
    answer = _ask(order, f"model {model}: version {entry.version}")
    if answer.error is not None:
        raise ArtifactError(answer.error)
    return Checked(memory_bytes=answer.memory_bytes, load_seconds=answer.load_seconds)


def _ask(order: Order, what: str) -> Answer:
    command = [*TETHER, "SIGKILL", sys.executable, "-B", *PROGRAM]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        ended = subprocess.run(  # noqa: S603 - our own
            command,
            input=order.model_dump_json().encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries say of a model they refuse may quote it
            cwd=PROJECT,
            env=environment,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"{what} was not loaded within {SECONDS:.0f} s; make it smaller") from error
    if ended.returncode < 0:
        number = -ended.returncode
        name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
        raise ArtifactError(f"{what} ends the process that loads it ({name}); train the model again")
    try:
        return Answer.model_validate_json(ended.stdout)
    except ValidationError as error:
        status = f"exit status {ended.returncode}"
        raise ArtifactError(
            f"{what}: the process that loads it said nothing ({status}); see if it runs here"
        ) from error
