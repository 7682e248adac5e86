"""What clients ask for: one order for each number, the same each time for the same seed."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings

API = "/api/ml"
MODEL = "donor_reliability"
FILE_ROWS = 40
LONGEST_WAIT = 2  # seconds, of a client that waits for the answer
LONG, SHORT = (0.3, 32), (0.1, 4)  # seconds of a chunk, chunks: three leases and longer, and a moment
MATCH = {
    "request": {"blood_group": "B+", "latitude": 10.0, "longitude": 76.3, "urgency": 4, "units_required": 2},
    "top_k": 5,
    "radius_km": 100,
}


@dataclass(frozen=True, slots=True)
class Order:
    """One job that a client wants."""

    number: int
    kind: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cancel_after: float | None = None  # seconds

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]


class Orders:
    """Draws orders: mostly short jobs, some long ones, some of the blood service's, files, and a little poison."""

    def __init__(self, seed: int, *, poison_every: int) -> None:
        self._seed = seed
        self._poison_every = poison_every
        self._file = _rows()

    def order(self, number: int) -> Order:
        chance = Random(f"{self._seed}/{number}")  # noqa: S311 - to be repeated, not a secret
        key = f"chaos-{self._seed}-{number}"
        place = number % self._poison_every
        if place in (self._poison_every // 3, self._poison_every // 2):
            kind = "chaos.poison" if place == self._poison_every // 3 else "chaos.batch_poison"
            return _chaos(number, kind, key, seconds=0.05)
        share = chance.random()
        wait = chance.random() < 0.05
        if share < 0.03:
            return self._batch(number, key)
        if share < 0.10:
            return _json(number, "blood.match", "/match", MATCH, key=key, wait=wait)
        if share < 0.12:
            seconds, chunks = LONG if chance.random() < 0.08 else SHORT
            cancel_after = chance.uniform(0.0, 1.0) if chance.random() < 0.2 else None
            return _chaos(number, "chaos.chunks", key, seconds=seconds, chunks=chunks, cancel_after=cancel_after)
        cancel_after = chance.uniform(0.0, 0.1) if chance.random() < 0.05 else None
        seconds = chance.uniform(0.0, 0.03 if cancel_after is None else 0.3)
        return _chaos(number, "chaos.effect", key, seconds=seconds, cancel_after=cancel_after, wait=wait)

    def _batch(self, number: int, key: str) -> Order:
        headers = {"Content-Type": "text/csv", "Idempotency-Key": key}
        return Order(number, "platform.predict_file", f"{API}/batches?model={MODEL}", self._file, headers)


def _chaos(
    number: int, kind: str, key: str, *, cancel_after: float | None = None, wait: bool = False, **request: Any
) -> Order:
    path = "/" + kind.replace(".", "/").replace("_", "-")
    return _json(number, kind, path, {"token": key, **request}, key=key, wait=wait, cancel_after=cancel_after)


def _json(
    number: int,
    kind: str,
    path: str,
    request: dict[str, Any],
    *,
    key: str,
    wait: bool,
    cancel_after: float | None = None,
) -> Order:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    if wait:
        headers["Prefer"] = f"wait={LONGEST_WAIT}"
    return Order(number, kind, API + path, json.dumps(request).encode(), headers, cancel_after)


def _rows() -> bytes:
    model = Catalogue(load_settings().models_dir).read(MODEL)
    columns = [column.name for column in model.manifest.columns]
    rows = [["" if cell is None or cell != cell else repr(cell) for cell in row] for row in model.golden.rows]  # noqa: PLR0124 - NaN
    lines = [",".join(rows[number % len(rows)]) for number in range(FILE_ROWS)]
    return "\n".join([",".join(columns), *lines, ""]).encode()
