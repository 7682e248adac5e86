"""What the models say of donors for outreach: prospects of those who may be asked, chances of those who were."""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from backend.domains.blood.features import Asks, availability_features, match_features, response_features
from backend.domains.blood.history import History
from backend.domains.blood.horizons import HOUR
from backend.domains.blood.outreach.planner import LEAST_CHANCE
from backend.domains.blood.outreach.plans import Prospects
from backend.domains.blood.outreach.size import POOL_LIMIT
from backend.domains.blood.outreach.timing import chance_in_time, chance_kept, learnt_hours
from backend.domains.blood.records import Component, Floats, Ints, Rows
from backend.domains.blood.response import predict_hazards
from backend.domains.blood.rules import substitution_costs
from backend.inference.manifest import Manifest

AVAILABILITY, MATCH = "donor_availability", "donor_seeker_match"
MODELS = (AVAILABILITY, MATCH, "donor_response_time")


class Models(Protocol):
    """The part of `ModelClient` that scoring uses."""

    def predict(self, model: str, rows: NDArray[np.float64]) -> Floats:
        """Return one calibrated number per row."""

    def manifest(self, model: str) -> Manifest:
        """Return what is known about the version in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What donors are asked for."""

    blood_group: int  # of the recipient
    component: Component
    urgency: int
    units: int
    deadline: float  # epoch seconds


class Chances(NamedTuple):
    """What was expected of asks (n,) when they were made."""

    p: Floats
    keep: Floats
    hazards: Floats  # (n, bins)


class SharedLuck(BaseModel):
    """What the match model learnt about how far donors asked together go up or down together, in log-odds."""

    request_sd: float
    period_sd: float


def prospects(
    models: Models,
    history: History,
    occasion: Occasion,
    *,
    rows: Rows,
    distance_km: Floats,
    at: float,
    resting_asks: Ints,
) -> Prospects:
    """Return the prospects of donors `rows` (n,) if asked at `at`, without those who have next to none.

    When answers come is asked about the best alone: no request asks more, and it is most of the work.
    """
    asks = _asks(history, occasion, rows, distance_km, np.full(len(rows), at))
    features = match_features(history, asks)
    scores = models.predict(MATCH, features.values)
    kept = np.flatnonzero(scores >= LEAST_CHANCE)
    kept = np.sort(kept[np.argsort(-scores[kept], kind="stable")[:POOL_LIMIT]])
    rows, distance_km = rows[kept], distance_km[kept]
    asks = _asks(history, occasion, rows, distance_km, np.full(len(rows), at))
    hazards, edges = predict_hazards(models, response_features(history, asks).values)
    costs = substitution_costs(occasion.blood_group, occasion.component)
    return Prospects(
        donor=rows.astype(np.int64),
        p=chance_in_time(
            scores[kept],
            hazards=hazards,
            edges=edges,
            hours=(occasion.deadline - asks.as_of) / HOUR,
            distance_km=distance_km,
            urgency=occasion.urgency,
        ),
        hazards=hazards,
        distance_km=distance_km,
        scarcity=costs[history.donors.blood_group[rows]],
        recent_asks=features.column("asks_last_30d")[kept].astype(np.int64),
        resting_asks=resting_asks,
    )


def chances(
    models: Models, history: History, occasion: Occasion, *, rows: Rows, distance_km: Floats, asked_at: Floats
) -> Chances:
    """Return what was to be expected of asks (n,) made at moments (n,), from what was known then."""
    asks = _asks(history, occasion, rows, distance_km, asked_at)
    hazards, edges = predict_hazards(models, response_features(history, asks).values)
    scores = models.predict(MATCH, match_features(history, asks).values)
    accepts = models.predict(AVAILABILITY, availability_features(history, asks).values)
    p = chance_in_time(
        scores,
        hazards=hazards,
        edges=edges,
        hours=(occasion.deadline - asked_at) / HOUR,
        distance_km=distance_km,
        urgency=occasion.urgency,
    )
    return Chances(p, chance_kept(scores, accepts), hazards)


def shared_sd(models: Models) -> float:
    """Return the sd, in log-odds, of what donors asked together share: the request's luck and the time of year."""
    learnt = SharedLuck.model_validate(models.manifest(MATCH).parameters)
    return math.hypot(learnt.request_sd, learnt.period_sd)


def hazard_edges(models: Models) -> Floats:
    """Return the hours (bins + 1,) between which hazards are given."""
    return np.array(models.manifest(MODELS[2]).parameters["edges_hours"], dtype=np.float64)


def _asks(history: History, occasion: Occasion, rows: Rows, distance_km: Floats, at: Floats) -> Asks:
    return Asks(
        donor=rows,
        as_of=at,
        distance_km=distance_km,
        urgency=np.full(len(rows), float(occasion.urgency)),
        units=np.full(len(rows), float(occasion.units)),
        hours_until_needed=learnt_hours((occasion.deadline - at) / HOUR, urgency=occasion.urgency),
        group_match=(history.donors.blood_group[rows] == occasion.blood_group).astype(np.float64),
    )
