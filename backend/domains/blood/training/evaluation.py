"""How a model did on the test slice, beside the oracle and the baselines."""

import numpy as np
from pydantic import JsonValue

from backend.domains.blood.records import BLOOD_GROUPS, Flags, Floats, Ints, Sex
from backend.domains.blood.training.dataset import Dataset
from backend.ml.calibration import IntervalCurve
from backend.ml.metrics import (
    auc,
    brier_score,
    calibration_line,
    coverage,
    equal_count_bins,
    expected_calibration_error,
    log_loss,
    ndcg_at,
)

SMALLEST_SLICE = 200  # fewer rows say nothing about a slice
INTERVAL_BINS = 20

Scores = dict[str, float]


def score(outcome: Flags, probability: Floats, *, request: Ints | None = None) -> Scores:
    """Return the metrics of `probability` (n,); ranking within `request` (n,) is added when given."""
    slope, intercept = calibration_line(outcome, probability)
    scores = {
        "log_loss": log_loss(outcome, probability),
        "brier": brier_score(outcome, probability),
        "auc": auc(outcome, probability),
        "ece": expected_calibration_error(outcome, probability),
        "slope": slope,
        "intercept": intercept,
    }
    if request is not None:
        scores["ndcg_at_10"] = ndcg_at(outcome, probability, request, k=10)
    return rounded(scores)


def rounded(scores: Scores) -> Scores:
    """Return the numbers to six decimals, enough for any reader."""
    return {name: round(value, 6) for name, value in scores.items()}


def by_group(data: Dataset, rows: Ints, outcome: Flags, probability: Floats) -> dict[str, Scores]:
    """Return rate, mean prediction, AUC and calibration error of each urgency, blood group and sex with enough rows."""
    donors, donor = data.world.donors, data.asks.donor[rows]
    groups = {f"urgency {level}": data.asks.urgency[rows] == level for level in range(1, 5)}
    groups |= {f"group {name}": donors.blood_group[donor] == code for code, name in enumerate(BLOOD_GROUPS)}
    groups |= {f"sex {sex.name.lower()}": donors.sex[donor] == sex for sex in Sex}
    return {
        name: rounded(
            {
                "rows": float(inside.sum()),
                "rate": float(outcome[inside].mean()),
                "predicted": float(probability[inside].mean()),
                "auc": auc(outcome[inside], probability[inside]),
                "ece": expected_calibration_error(outcome[inside], probability[inside], bins=5),
            }
        )
        for name, inside in groups.items()
        if inside.sum() >= SMALLEST_SLICE and 0 < outcome[inside].sum() < inside.sum()
    }


def interval_coverage(interval: IntervalCurve, outcome: Flags, probability: Floats, truth: Floats) -> Scores:
    """Return how many score bins have their true mean probability, and their observed rate, inside the interval."""
    bin_of = equal_count_bins(probability, INTERVAL_BINS)
    rows = np.bincount(bin_of, minlength=INTERVAL_BINS)
    means = [
        np.bincount(bin_of, weights=values, minlength=INTERVAL_BINS) / rows for values in (probability, truth, outcome)
    ]
    low, high = interval.at(means[0])
    return rounded(
        {
            "level": interval.level,
            "true_mean_inside": coverage(means[1], low, high),
            "observed_rate_inside": coverage(means[2], low, high),
            "mean_width": float((high - low).mean()),
        }
    )


def as_json(value: object) -> JsonValue:
    """Return nested numbers with NaN as None."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if np.isnan(value) else value
    if isinstance(value, (str, int)):
        return value
    raise TypeError(f"not a number, text or table of them: {type(value).__name__}")
