"""Replace a large model while a thread predicts, in a fresh process: `python -m benchmarks.reloading FOLDER`."""

import json
import re
import sys
import threading
import time
from pathlib import Path

import lightgbm
import numpy as np

from backend.inference.catalogue import Catalogue
from backend.inference.following import give_back_memory
from backend.inference.manifest import GOLDEN, Golden, write_version
from backend.inference.runtimes import runtime_class
from backend.inference.runtimes.lightgbm import LightGBMRuntime
from backend.inference.slots import PinnedModel, Slot
from benchmarks.golden import artifact


def main(folder: Path) -> None:
    """Print the seconds of a load and a replacement, the longest prediction meanwhile, and the memory added, in MB."""
    catalogue = Catalogue(folder)
    (model,) = catalogue.names()
    slot = Slot(model, catalogue)
    runtime_class(catalogue.manifest(model).runtime)
    empty, started = resident(), time.perf_counter()
    slot.loaded(threads=1)
    loaded = time.perf_counter() - started
    give_back_memory()
    memory = resident() - empty
    waits = Waits(slot)
    started = time.perf_counter()
    slot.follow(1, threads=1)
    replaced = time.perf_counter() - started
    longest = waits.stop()
    give_back_memory()
    figures = {"load": loaded, "replace": replaced, "longest": longest, "memory": memory}
    print(json.dumps(figures | {"after": resident() - empty, "peak": resident("VmHWM") - empty}))


class Waits:
    """A thread that predicts one row again and again, and how long that took at most."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._longest = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._predict)
        self._thread.start()

    def stop(self) -> float:
        """Return the longest time between two predictions, in seconds."""
        self._stopped.set()
        self._thread.join()
        return self._longest

    def _predict(self) -> None:
        row = np.array(artifact().golden.rows[:1], dtype=np.float64)
        while not self._stopped.is_set():
            started = time.perf_counter()
            PinnedModel(self._slot, self._slot.loaded(threads=1)).predict(row)
            self._longest = max(self._longest, time.perf_counter() - started)
            self._stopped.wait(0.001)


def write_large(root: Path, size: int) -> None:
    """Write a version whose text has about so many bytes: the trees of a shipped model again and again."""
    small = artifact()
    head, *trees = re.split(r"(?=^Tree=\d+$)", small.weights.decode(), flags=re.MULTILINE)
    last, _, tail = trees.pop().partition("end of trees")
    trees.append(last)
    copies = size // sum(map(len, trees))
    bodies = [re.sub(r"^Tree=\d+", "", tree) for tree in trees]
    numbered = [f"Tree={place}{body}" for place, body in enumerate(bodies * copies)]
    sizes = " ".join(str(len(tree)) for tree in numbered)
    head = re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", head, flags=re.MULTILINE)
    weights = "".join((head, *numbered, "end of trees", tail)).encode()
    rows = np.array(small.golden.rows, dtype=np.float64)
    outputs = LightGBMRuntime(lightgbm.Booster(model_str=weights.decode()), threads=1).predict(rows)
    golden = Golden(rows=small.golden.rows, outputs=tuple(outputs.tolist()))
    manifest = small.manifest.model_copy(update={"calibration": None})
    write_version(root, manifest, {manifest.file: weights, GOLDEN: golden.model_dump_json().encode()})


def resident(figure: str = "VmRSS") -> float:
    """Return the memory of this process in MB, or with `VmHWM` the most it ever had."""
    found = re.search(rf"^{figure}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("the kernel does not tell the memory of a process")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
