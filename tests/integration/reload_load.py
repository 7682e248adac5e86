"""Predictions asked without a pause, and versions of a model to change between."""

import io
import json
import threading
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, Self

from backend.inference.manifest import MANIFEST, Manifest, digest
from tests.integration.stack import PROJECT, Stack

MODEL = "donor_availability"
SHIPPED = PROJECT / "models_artifacts" / MODEL / "1"
KIND = "blood.predict_availability"
DONOR = {"blood_group": "O-", "latitude": 10.0, "longitude": 76.3, "born_on": "1990-05-17"}
ASKED = {"donor": DONOR, "at": "2026-11-20T09:30:00+05:30"}
AT_ONCE = 250


def packed(version: str, *, shift: float = 0.0, truncated: bool = False, other_digest: bool = False) -> bytes:
    """Return a zip of the shipped version whose calibrated logit is shifted."""
    manifest = Manifest.model_validate_json((SHIPPED / MANIFEST).read_bytes())
    assert manifest.calibration is not None
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


class Load:
    """A client that keeps hundreds of predictions in flight and takes down what each answered."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
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
        bulks: list[str] = []
        while not self._over.is_set() or bulks:
            while len(bulks) < 2 and not self._over.is_set():
                jobs = [{"kind": KIND, "request": ASKED}] * AT_ONCE
                answer = self._stack.call("POST", "/api/ml/jobs/bulk", {"jobs": jobs})
                assert answer.status == 202, answer
                bulks.append(answer.headers["Location"])
            if self._stack.call("GET", bulks[0]).body["finished_at"] is None:
                self._over.wait(0.05)
                continue
            for job in self._stack.call("GET", f"{bulks.pop(0)}/jobs?limit=1000").body["jobs"]:
                if job["state"] != "succeeded":
                    self.failed.append(job)
                else:
                    self.answers[version_and_score(job["result"])] += 1


def version_and_score(result: dict[str, Any]) -> tuple[str, float]:
    """The same whether LightGBM or its compiled code answered: they add up in another order."""
    return result["models"][MODEL], round(result["donors"][0]["acceptance_probability"], 12)


def corrupt(root: Path, version: str) -> None:
    """Alter a digit of the weights of a registered version where they are kept."""
    weights = root / "models" / MODEL / version / json.loads((SHIPPED / MANIFEST).read_text())["file"]
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
