"""What is watched for drift: each model's rows for asks that were made, the same at training and every night after."""

from collections.abc import Callable
from typing import Final

import numpy as np

from backend.domains.blood.features import (
    Asks,
    availability_features,
    match_features,
    reliability_features,
    response_features,
)
from backend.domains.blood.history import History
from backend.domains.blood.records import Floats
from backend.domains.blood.response import EDGES_HOURS, MODEL, person_periods


def _first_periods(history: History, asks: Asks) -> Floats:
    """Return one row an ask, its first bin of time: the later ones differ from it by design alone."""
    return person_periods(response_features(history, asks).values, np.array(EDGES_HOURS[:2]))


WATCHED: Final[dict[str, Callable[[History, Asks], Floats]]] = {
    "donor_availability": lambda history, asks: availability_features(history, asks).values,
    MODEL: _first_periods,
    "donor_reliability": lambda history, asks: reliability_features(history, asks).values,
    "donor_seeker_match": lambda history, asks: match_features(history, asks).values,
}
"""Rows (n, columns) of each model for asks (n,): all asks, whatever came of them, since a model is used before that."""
