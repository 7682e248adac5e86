"""Versions of a model to change between, and predictions asked without a pause while they are changed."""

import io
import json
import os
import threading
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from backend.inference.manifest import MANIFEST, Manifest, digest
from backend.settings import PROJECT
from benchmarks.client import call, hang_up

MODEL = "donor_availability"
SHIPPED = PROJECT / "models_artifacts" / MODEL / "1"
KIND = "blood.predict_availability"
DONOR = {"blood_group": "O-", "latitude": 10.0, "longitude": 76.3, "born_on": "1990-05-17"}
ASKED = {"donor": DONOR, "at": "2026-11-20T09:30:00+05:30"}
BULKS = 2
AT_ONCE = 250  # in each


def packed(version: str, *, shift: float = 0.0, truncated: bool = False, other_digest: bool = False) -> bytes:
    """Return a zip of the shipped version whose calibrated logit is shifted."""
    manifest = Manifest.model_validate_json((SHIPPED / MANIFEST).read_bytes())
    if manifest.calibration is None:
        raise RuntimeError(f"{MODEL} has no calibration to shift")
    moved = manifest.calibration.model_copy(update={"intercept": manifest.calibration.intercept + shift})
    contents = {name: (SHIPPED / name).read_bytes() for name in manifest.files}
    if truncated:
        contents[manifest.file] = contents[manifest.file][: len(contents[manifest.file]) // 2]
    files = {name: digest(content) for name, content in contents.items()}
    if other_digest:
        files[manifest.file] = "0" * 64
    final = manifest.model_copy(update={"version": version, "calibration": moved, "files": files})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr(MANIFEST, final.model_dump_json())
        for name, content in contents.items():
            package.writestr(name, content)
    return out.getvalue()


def corrupt(root: Path, version: str) -> None:
    """Alter a digit of the weights of a registered version where they are kept."""
    weights = root / "models" / MODEL / version / json.loads((SHIPPED / MANIFEST).read_text())["file"]
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


class Load:
    """A client that keeps hundreds of predictions in flight and takes down what each answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: Counter[tuple[str, float]] = Counter()  # by version and score
        self.failed: list[Any] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._ask()
        finally:
            hang_up()

    def _ask(self) -> None:
        bulks: list[str] = []
        while not self._over.is_set() or bulks:
            while len(bulks) < BULKS and not self._over.is_set():
                status, bulk = call(
                    self._port, "POST", "/jobs/bulk", {"jobs": [{"kind": KIND, "request": ASKED}] * AT_ONCE}
                )
                if status != 202:
                    self.failed.append(bulk)
                    return
                bulks.append(f"/jobs/bulk/{bulk['id']}")
            if call(self._port, "GET", bulks[0])[1]["finished_at"] is None:
                self._over.wait(0.05)
                continue
            for job in call(self._port, "GET", f"{bulks.pop(0)}/jobs?limit=1000")[1]["jobs"]:
                if job["state"] != "succeeded":
                    self.failed.append(job)
                else:
                    self.answers[version_and_score(job["result"])] += 1


def version_and_score(result: dict[str, Any]) -> tuple[str, float]:
    """Return both; the score is the same whether LightGBM or its compiled code adds it up, in another order."""
    return result["models"][MODEL], round(result["donors"][0]["acceptance_probability"], 12)


def memory(groups: Collection[int]) -> int:
    """Return the bytes that the processes of some groups hold, what they share counted once (PSS)."""
    kilobytes = 0
    for status in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(status.name)) in groups:
                lines = (status / "smaps_rollup").read_text().splitlines()
                kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # it has just ended
            continue
    return kilobytes * 1024
