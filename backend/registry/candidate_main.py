"""The process that loads a version nobody has loaded yet: `python -m backend.registry.candidate_main`.

It reads an `Order` from standard input and writes an `Answer` to standard output. Whatever the version does to it,
running out of memory, writing files, ending it, does nothing to the processes that serve.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from backend.errors import ArtifactError
from backend.inference.catalogue import read_artifact, read_manifest
from backend.inference.following import give_back_memory
from backend.inference.manifest import CatalogueEntry
from backend.inference.model import LoadedModel
from backend.inference.runtimes import runtime_class
from backend.inference.store import FolderStore
from backend.inference.trust import Trust, TrustTerms
from backend.ops import cores

SCRATCH = 4096  # bytes of a file: libraries try out whether a temporary folder can be written


class Order(BaseModel):
    """Which version is to be loaded, and within what limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path
    model: str
    entry: CatalogueEntry
    trust: TrustTerms
    threads: int
    address_space: int  # bytes
    cpu_seconds: int
    seconds: int
    cores: list[int]


class Answer(BaseModel):
    """What loading took, or why it failed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_bytes: int = 0
    load_seconds: float = 0.0
    error: str | None = None


def main() -> None:
    """Load the version of the order and tell what it took."""
    # Whatever prints to standard output must not come between us and who reads the answer.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as told:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        order = Order.model_validate_json(sys.stdin.buffer.read())
        cores.use(order.cores)
        _limit(order)
        told.write(_answer(order).model_dump_json())


def _limit(order: Order) -> None:
    signal.alarm(order.seconds)  # should nobody be there any more who ends this process
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # rather this process than who serves
    for what, limit in (
        (resource.RLIMIT_AS, order.address_space),
        (resource.RLIMIT_CPU, order.cpu_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, SCRATCH),
    ):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (limit, limit) if hard == resource.RLIM_INFINITY else (min(limit, hard),) * 2)


def _answer(order: Order) -> Answer:
    try:
        return _load(order)
    except ArtifactError as error:
        return Answer(error=str(error))
    except MemoryError:
        limit = f"{order.address_space / 2**30:.1f} GiB"
        return Answer(
            error=f"model {order.model}: loading version {order.entry.version} needs more memory than {limit}"
        )
    except Exception as error:  # noqa: BLE001 - a boundary: whatever a library raises is told
        what = f"model {order.model}: version {order.entry.version} cannot be loaded ({type(error).__name__})"
        return Answer(error=f"{what}; train the model again")


def _load(order: Order) -> Answer:
    store, trust = FolderStore(order.root), Trust.from_terms(order.trust)
    manifest = read_manifest(store, order.model, order.entry, trust=trust)
    runtime_class(manifest.runtime)  # its library is shared by all versions and is not what this one takes
    give_back_memory()  # what was only needed to get here
    before, started = _resident(), time.perf_counter()
    model = LoadedModel.load(
        read_artifact(store, order.model, order.entry, trust=trust), threads=order.threads
    )  # keeps the model and nothing of its files
    seconds = time.perf_counter() - started
    give_back_memory()
    taken = max(_resident() - before, 0)
    del model
    return Answer(memory_bytes=taken, load_seconds=seconds)


def _resident() -> int:
    """Return the bytes of memory that this process occupies."""
    if sys.platform != "linux":  # the most it ever did is the best that is known
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if "RssAnon" in line)
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
