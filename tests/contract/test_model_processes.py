"""What every model runtime does to the process that uses it, shown in processes of their own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.inference.manifest import MANIFEST
from backend.inference.runtimes import runtime_class
from tests.contract.large_models import LARGE
from tests.contract.model_examples import Example, lightgbm_example, release

BEGIN = """
import gc, json, os, resource, signal, sys, time
from pathlib import Path
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from backend.errors import ArtifactError
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.following import give_back_memory
from backend.inference.manifest import Manifest
from backend.inference.runtimes import runtime_class
from backend.inference.trust import Trust

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
trust = Trust([Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()], executable=True)
rows = np.random.default_rng(1).normal(size=(20_000, 4))  # enough for every library to share them between threads
"""

USE_BEFORE_AND_AFTER_A_FORK = """
root, model = sys.argv[1:]
client = ModelClient(Catalogue(Path(root), trust=trust), threads=2)
expected = client.predict(model, rows)
child = os.fork()
signal.alarm(30)
if child == 0:
    same = np.array_equal(client.predict(model, rows), expected)
    del client  # what this process loaded is freed; then it ends as billiard ends a worker's children (ADR 13)
    gc.collect()
    os._exit(0 if same else 3)
status = os.waitpid(child, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status))
"""

PREDICT = """
root, model = sys.argv[1:]
try:
    ModelClient(Catalogue(Path(root), trust=trust)).predict(model, np.zeros((1, 4)))
except ArtifactError as error:
    print(error)
"""

OBSERVE = """
def occupied():
    give_back_memory()
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
    return int(line.split()[1]) / 1024

def count_threads():
    seen = []
    for _ in range(20):  # one that has just ended is still listed for a moment
        seen.append(len(os.listdir("/proc/self/task")))
        time.sleep(0.01)
    return min(seen)

def load(path, threads):
    return runtime_class(manifest.runtime).load(Path(path).read_bytes(), manifest, threads=threads)

def load_and_drop():
    model = load(sys.argv[3], 2)
    model.predict(rows[:10])
    return occupied()

manifest = Manifest.model_validate_json(Path(sys.argv[1]).read_bytes())
counts = []
for threads in (1, 2):
    model = load(sys.argv[2], threads)
    model.predict(rows)
    counts.append(count_threads())
spent = 0.0
for _ in range(30):
    model.predict(rows[:1_000])
    before = time.process_time()
    time.sleep(0.01)
    spent += time.process_time() - before
empty = occupied()
rounds = [(load_and_drop() - empty, occupied() - empty) for _ in range(5)]
print(json.dumps({"threads": counts, "busy": spent / 0.3, "rounds": rounds}))
"""

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


@dataclass(frozen=True)
class Observed:
    """What a process was seen to do."""

    threads: tuple[int, int]  # after a prediction with one, and with two
    busy: float  # the share of a core that was used while it slept between predictions
    rounds: list[tuple[float, float]]  # MB more than before, with a large model and after it was dropped


def run_python(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BEGIN + script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_survives_a_truncated_model(root: Path, example: Example, weights: Path) -> None:
    weights.write_bytes(example.content[: len(example.content) // 2])
    ended = run_python(PREDICT, root, example.name)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"{weights.name} of version 1 is truncated or altered" in ended.stdout


def test_a_truncated_lightgbm_model_would_end_the_process_if_it_were_parsed(tmp_path: Path) -> None:
    content = lightgbm_example().content
    truncated = tmp_path / "model.txt"
    truncated.write_bytes(content[: len(content) // 2])
    parse = "import lightgbm; lightgbm.Booster(model_str=open(sys.argv[1]).read())"
    assert run_python(parse, truncated).returncode < 0  # killed by a signal: why digests come first


def test_a_forked_child_predicts_the_same_and_ends(root: Path, example: Example, weights: Path) -> None:
    assert weights.exists()
    ended = run_python(USE_BEFORE_AND_AFTER_A_FORK, root, example.name)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def observed(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    root = tmp_path_factory.mktemp("observed")
    weights, large = release(root, example) / example.file, root / "large"
    large.write_bytes(LARGE[example.runtime]())
    ended = run_python(OBSERVE, weights.with_name(MANIFEST), weights, large)
    assert (ended.returncode, ended.stderr) == (0, "")
    return Observed(**json.loads(ended.stdout))


@needs_linux
def test_it_uses_as_many_threads_as_it_was_given(observed: Observed) -> None:
    one, two = observed.threads
    assert two - one == 1


@needs_linux
def test_its_threads_sleep_between_calls(observed: Observed) -> None:
    assert observed.busy < 0.15


@needs_linux
def test_a_model_that_is_dropped_gives_its_memory_back_or_its_runtime_says_why_it_does_not(
    example: Example, observed: Observed
) -> None:
    taken, kept = observed.rounds[-1]
    assert taken > 20.0
    assert kept < 1.5 * taken  # of five models, so in no case does each leave something
    reason = runtime_class(example.runtime).keeps_memory
    if reason is not None and kept > 0.75 * taken:
        pytest.xfail(f"{example.runtime} keeps {kept:.0f} of {taken:.0f} MB: {reason}")
    assert kept < 0.75 * taken
