"""Why a model said what it said, for one row."""

import math

import numpy as np

from backend.domains.blood.features import FeatureMatrix
from backend.domains.blood.records import Floats
from backend.domains.blood.schemas import MatchReason

REASONS = 5  # the strongest contributions are told


def strongest_reasons(features: FeatureMatrix, row: int, contributions: Floats) -> list[MatchReason]:
    """Return the columns that moved a row's score most, strongest first; `contributions` is (k + 1,), the bias last."""
    values = features.values[row]
    strongest = np.argsort(-np.abs(contributions[:-1]), kind="stable")[:REASONS]
    return [
        MatchReason(
            feature=features.names[column],
            value=None if math.isnan(values[column]) else round(float(values[column]), 4),
            contribution=round(float(contributions[column]), 4),
        )
        for column in strongest
    ]
