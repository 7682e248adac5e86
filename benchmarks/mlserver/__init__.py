"""MLServer, the reference server of the Open Inference Protocol, in a virtual environment of its own.

Its requirements are pinned by `uv pip compile` from mlserver, mlserver-lightgbm, our pins of lightgbm and numpy, and
uvloop<0.22: with a newer one MLServer 1.7.1 cannot start its worker processes.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.inference.source import Artifact
from backend.ops.ports import find_free
from backend.ops.supervision import last_lines
from backend.ops.tether import TETHER
from backend.settings import PROJECT
from benchmarks.processes import HOST

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ENVIRONMENT = PROJECT / ".venv" / "mlserver"
START_SECONDS = 120.0


def install() -> str:
    """Install MLServer unless these very requirements are installed, and return its version."""
    stamp = ENVIRONMENT / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        print(f"  installing MLServer in {ENVIRONMENT}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_bytes(REQUIREMENTS.read_bytes())
    pins = dict(line.split("==", 1) for line in REQUIREMENTS.read_text().split() if "==" in line)
    return pins["mlserver"]


@contextmanager
def running(folder: Path, artifact: Artifact, *, parallel_workers: int) -> Iterator[int]:
    """Serve a LightGBM model with so many processes beside the one that talks HTTP, and yield the port."""
    folder.mkdir()
    port, other, third = find_free(HOST), find_free(HOST), find_free(HOST)
    settings = {"debug": False, "host": HOST, "http_port": port, "grpc_port": other, "metrics_port": third}
    model = {
        "name": artifact.manifest.name,
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": f"./{artifact.manifest.file}", "version": artifact.manifest.version},
    }
    (folder / artifact.manifest.file).write_bytes(artifact.weights)
    (folder / "settings.json").write_text(json.dumps(settings | {"parallel_workers": parallel_workers}))
    (folder / "model-settings.json").write_text(json.dumps(model))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*TETHER, "SIGTERM", str(ENVIRONMENT / "bin" / "mlserver"), "start", "."],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # as many as Sanguine's predictions use
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_ready(port, process, folder / "log")
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/v2/health/ready", timeout=5.0):
                return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MLServer did not start; {last_lines(log)}") from None
            time.sleep(0.1)
