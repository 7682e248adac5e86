"""One row in, one prediction out over the Open Inference Protocol: Sanguine's API beside MLServer."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from backend.inference.source import Artifact
from backend.ml.calibration import LogisticCalibration
from backend.ops.tether import TETHER
from backend.settings import PROJECT
from benchmarks import mlserver
from benchmarks.golden import artifact
from benchmarks.processes import HOST, Installation
from benchmarks.report import Table
from benchmarks.rounds import Round

ROUNDS = 7
SECONDS = 4.0
CONNECTIONS = (16, 64)
OURS = {"Sanguine": "backend.ops.gunicorn", "Sanguine, not kept on one core": "benchmarks.all_cores"}
PEERS = {"MLServer, model in a worker process (its default)": 1, "MLServer, model in the server's process": 0}
FIGURES = ("requests/s", "p50", "p99", "times the better MLServer")

Rounds = Mapping[tuple[str, int], Sequence[Round]]
"""Of each system and number of connections."""


def measure_serving() -> list[Table]:
    """Measure each server in turn, round after round, with the same body."""
    version = mlserver.install()
    model = artifact()
    path = f"/v2/models/{model.manifest.name}/infer"
    body = _body(model)
    rounds: dict[tuple[str, int], list[Round]] = {}
    with _running(model) as ports:
        _check_alike(model, [_ask(port, path, body) for port in ports.values()])
        for number in range(1, ROUNDS + 1):
            for name, port in ports.items():
                print(f"  round {number} of {ROUNDS}: {name}", flush=True)
                for connections in CONNECTIONS:
                    figures = _load(port, path, body, connections=connections)
                    rounds.setdefault((name, connections), []).append(Round(**figures))
    return [_table(list(ports), rounds, version=version)]


@contextmanager
def _running(model: Artifact) -> Iterator[dict[str, int]]:
    """Start every server and yield their ports."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sanguine-bench-")))
        ports = {
            name: stack.enter_context(mlserver.running(folder / f"mlserver-{workers}", model, parallel_workers=workers))
            for name, workers in PEERS.items()
        }
        for name, configuration in OURS.items():
            (folder / configuration).mkdir()
            ours = stack.enter_context(Installation(folder / configuration))
            ours.migrate()
            ours.start_broker()
            ours.start_api("backend.app:create_app()", configuration=configuration)
            ports[name] = ours.port
        yield ports


def _body(model: Artifact) -> bytes:
    """Return a request for one row; MLServer knows no missing values in JSON."""
    row = [0.0 if value is None else value for value in model.golden.rows[0]]
    rows = {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    return json.dumps({"inputs": [rows]}).encode()


def _ask(port: int, path: str, body: bytes) -> float:
    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60.0) as answer:  # noqa: S310 - http
        output: float = json.load(answer)["outputs"][0]["data"][0]
    return output


def _check_alike(model: Artifact, answers: Sequence[float]) -> None:
    """Check that all say the same, once Sanguine's calibration is added to what MLServer says.

    Raises:
        RuntimeError: they do not.
    """
    theirs, ours = np.array(answers[: len(PEERS)]), np.array(answers[len(PEERS) :])
    fitted = model.manifest.calibration
    expected = LogisticCalibration(slope=fitted.slope, intercept=fitted.intercept).apply(theirs) if fitted else theirs
    if not np.allclose(expected[:, np.newaxis], ours, rtol=1e-6):
        raise RuntimeError(f"the servers differ: {theirs} and {ours}")


def _load(port: int, path: str, body: bytes, *, connections: int) -> dict[str, float]:
    command = [*TETHER, "SIGKILL", sys.executable, "-m", "benchmarks.http_load", str(port), path]
    done = subprocess.run(
        [*command, str(SECONDS), str(connections)], cwd=PROJECT, input=body, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the load on {path} failed: {done.stderr.decode()[-2_000:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _table(names: Sequence[str], rounds: Rounds, *, version: str) -> Table:
    return Table(
        title="One row, one prediction, over the Open Inference Protocol",
        columns=("server", *(f"{figure}, {count} connections" for count in CONNECTIONS for figure in FIGURES)),
        rows=[(name, *(cell for count in CONNECTIONS for cell in _cells(name, count, rounds))) for name in names],
        notes=(
            (
                f"Medians of {ROUNDS} rounds of {SECONDS:g} s; in each round every server has its turn, the others are"
                " idle. Times: the median of the ratios within a round to the MLServer that answered more."
            ),
            (
                "The same LightGBM model and JSON body for all, one thread for a prediction; the answers are compared"
                " first. Sanguine: one process of gunicorn as `supervisord.conf` starts it, with the database followed"
                " and the output calibrated. MLServer with `debug` off, otherwise as it is."
            ),
            f"MLServer {version}. The load comes from one further process of Python (`benchmarks/http_load.py`).",
        ),
    )


def _cells(name: str, connections: int, rounds: Rounds) -> tuple[str, ...]:
    own = rounds[name, connections]
    best = [
        max(one.per_second for one in peers) for peers in zip(*(rounds[p, connections] for p in PEERS), strict=True)
    ]
    return (
        f"{median(one.per_second for one in own):,.0f}",
        f"{median(one.p50 for one in own):.1f}",
        f"{median(one.p99 for one in own):.1f}",
        f"{median(one.per_second / peer for one, peer in zip(own, best, strict=True)):.2f}",
    )
