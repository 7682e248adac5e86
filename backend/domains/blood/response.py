"""When a donor answers: a chance for each stretch of time after the ask, and what follows from those chances.

The model gives the hazard of a bin of time, the chance of an answer within it if none came before. Donors who never
answer are part of its data, as people still silent when the request ended.
"""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, TypeAdapter

from backend.domains.blood.features import Feature
from backend.domains.blood.records import Floats

MODEL: Final = "donor_response_time"
EDGES_HOURS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 12.0, 18.0, 24.0, 48.0, 96.0)
"""Bins (edge, next edge] of the hours after the ask that training uses; serving reads them from the manifest."""

ELAPSED: Final = Feature("elapsed_hours", "h", "from the ask to the beginning of the bin")

_EDGES = TypeAdapter(list[float])


class _Manifest(Protocol):
    @property
    def parameters(self) -> dict[str, JsonValue]: ...


class _Models(Protocol):
    """What is needed of `backend.inference.ModelClient`."""

    def manifest(self, model: str) -> _Manifest: ...

    def predict(self, model: str, rows: NDArray[np.float64]) -> Floats: ...


def person_periods(values: Floats, edges: Floats) -> Floats:
    """Return a row for each donor and bin (n * bins, k + 1), a donor's bins together, from `values` (n, k)."""
    bins = len(edges) - 1
    return np.column_stack((np.repeat(values, bins, axis=0), np.tile(edges[:-1], len(values))))


def answered_by_edge(hazards: Floats) -> Floats:
    """Return the chance of an answer by each edge (n, bins + 1), 0 at the first, from hazards (n, bins)."""
    silent = np.cumprod(1.0 - hazards, axis=1)
    return np.concatenate((np.zeros((len(hazards), 1)), 1.0 - silent), axis=1)


def answered_within(hazards: Floats, edges: Floats, hours: Floats) -> Floats:
    """Return the chance (n,) of an answer within `hours` (n,), linear inside a bin, from hazards (n, bins)."""
    by_edge = answered_by_edge(hazards)
    after = np.clip(np.searchsorted(edges, hours, side="left"), 1, len(edges) - 1)
    row = np.arange(len(hazards))
    share = np.clip((hours - edges[after - 1]) / (edges[after] - edges[after - 1]), 0.0, 1.0)
    low, high = by_edge[row, after - 1], by_edge[row, after]
    return np.asarray(low + share * (high - low))


def median_of_answers(hazards: Floats, edges: Floats) -> Floats:
    """Return the hours (n,) within which half of those who answer at all have done so; NaN if nobody would."""
    by_edge = answered_by_edge(hazards)
    half = 0.5 * by_edge[:, -1]
    after = np.maximum((by_edge < half[:, None]).sum(axis=1), 1)
    row = np.arange(len(hazards))
    low, high = by_edge[row, after - 1], by_edge[row, after]
    with np.errstate(invalid="ignore"):  # 0 / 0 where nobody answers is the missing value we want
        share = (half - low) / (high - low)
    return np.asarray(edges[after - 1] + share * (edges[after] - edges[after - 1]))


def predict_hazards(models: _Models, values: Floats) -> tuple[Floats, Floats]:
    """Return the hazards (n, bins) and the bins' edges in hours (bins + 1,) for response features (n, k)."""
    edges = np.array(_EDGES.validate_python(models.manifest(MODEL).parameters["edges_hours"]))
    hazards = models.predict(MODEL, person_periods(values, edges))
    return hazards.reshape(len(values), len(edges) - 1), edges


def median_hours(models: _Models, values: Floats) -> Floats:
    """Return the expected hours to an answer (n,), the median of those who answer, for response features (n, k)."""
    return median_of_answers(*predict_hazards(models, values))
