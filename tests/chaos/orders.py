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
TERMS = ("?priority=urgent", "?priority=low", "?start_by=PT3S", "?finish_by=PT3S")  # 3 s: late only where a fault was
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
    """Draws orders: mostly short jobs, some long ones, some of the blood service's, files, and what is rare.

    Of each `rare_every` orders one kills an interactive worker, one kills a process of the batch worker, and one runs
    for three leases.
    """

    def __init__(self, seed: int, *, rare_every: int) -> None:
        self._seed = seed
        self._rare = {
            rare_every // 6: ("chaos.chunks", LONG),
            rare_every // 5: ("chaos.batch_poison", SHORT),
            rare_every // 2: ("chaos.poison", SHORT),
        }
        self._rare_every = rare_every
        self._file = _rows()

    def order(self, number: int) -> Order:
        chance = Random(f"{self._seed}/{number}")  # noqa: S311 - to be repeated, not a secret
        key = f"chaos-{self._seed}-{number}"
        if rare := self._rare.get(number % self._rare_every):
            kind, (seconds, chunks) = rare
            return _chaos(number, kind, key, seconds=seconds, chunks=chunks)
        share = chance.random()
        wait = chance.random() < 0.05
        terms = chance.choice(TERMS) if chance.random() < 0.15 else ""
        if share < 0.015:
            return self._batch(number, key)
        if share < 0.10:
            return _json(number, "blood.match", "/match" + terms, MATCH, key=key, wait=wait)
        if share < 0.11:
            cancel_after = chance.uniform(0.0, 1.0) if chance.random() < 0.2 else None
            seconds, chunks = SHORT
            return _chaos(number, "chaos.chunks", key, seconds=seconds, chunks=chunks, cancel_after=cancel_after)
        cancel_after = chance.uniform(0.0, 0.1) if chance.random() < 0.05 else None
        seconds = chance.uniform(0.0, 0.03 if cancel_after is None else 0.3)
        return _chaos(number, "chaos.effect", key, terms, seconds=seconds, cancel_after=cancel_after, wait=wait)

    def _batch(self, number: int, key: str) -> Order:
        headers = {"Content-Type": "text/csv", "Idempotency-Key": key}
        return Order(number, "platform.predict_file", f"{API}/batches?model={MODEL}", self._file, headers)


def _chaos(
    number: int,
    kind: str,
    key: str,
    terms: str = "",
    *,
    cancel_after: float | None = None,
    wait: bool = False,
    **request: Any,
) -> Order:
    path = "/" + kind.replace(".", "/").replace("_", "-") + terms
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
