"""Training of the time to an answer: a hazard for each bin of time, silent donors included."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backend.domains.blood.features import FEATURES, RESPONSE_FEATURES, response_features
from backend.domains.blood.records import Flags, Floats, Ints
from backend.domains.blood.response import EDGES_HOURS, ELAPSED, MODEL, answered_within, person_periods
from backend.domains.blood.simulate.behaviour import ANSWER_HOURS
from backend.domains.blood.training.candidates import Sample, fit_boosting
from backend.domains.blood.training.dataset import Dataset
from backend.domains.blood.training.evaluation import Scores, by_group, score
from backend.domains.blood.training.tasks import Trained, golden_rows
from backend.ml.calibration import LogisticCalibration, fit_logistic_calibration
from backend.ml.metrics import log_loss

EDGES = np.array(EDGES_HOURS)
BINS = len(EDGES) - 1
MOST_ASKS = 40_000  # a slice's asks used, spread evenly: each makes up to 13 rows
TREES = 150


@dataclass(frozen=True, slots=True)
class Periods:
    """Asks (n,) of a slice and their person-period rows, those a donor was observed through."""

    rows: Ints  # contacts
    sample: Sample
    observed: Flags  # (n * bins,) which person-periods the sample has


def periods(data: Dataset, name: str) -> Periods:
    """Cut asks into bins up to the answer; the bin in which the deadline falls is seen in part and left out."""
    rows = data.slices[name].rows
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ASKS)).astype(np.int64)]
    answer = np.nan_to_num(data.answer_hours[rows], nan=np.inf)[:, None]
    begin, end = EDGES[:-1], EDGES[1:]
    event = (begin < answer) & (answer <= end)
    observed = ((begin < answer) & (event | (end <= data.hours[rows][:, None]))).ravel()
    values = response_features(data.history, data.asks_at(rows)).values
    return Periods(rows, Sample(person_periods(values, EDGES)[observed], event.ravel()[observed]), observed)


def train_response_time(data: Dataset, *, seed: int) -> Trained:
    """Train the hazard of an answer and judge the chances of an answer by the hour that follow from it."""
    parts = {name: periods(data, name) for name in data.slices}
    train, validation, calibration, test = (parts[n].sample for n in ("train", "validation", "calibration", "test"))
    chosen = fit_boosting(train, validation, seed=seed, trees=TREES)
    fitted = fit_logistic_calibration(probability=chosen.raw(calibration.x), outcome=calibration.y)
    alike = _hazard_by_bin(train)
    judged = {"model": fitted.apply(chosen.raw(test.x)), "everybody alike": alike(test.x)}
    metrics = {f"{who}, hazard": score(test.y, p) for who, p in judged.items()}
    rows = parts["test"].rows
    for column, hours in enumerate(ANSWER_HOURS):
        truth = data.world.truth.answered[rows, column].astype(np.float64)
        told = ~np.isnan(truth)
        outcome = np.nan_to_num(data.answer_hours[rows][told], nan=np.inf) <= hours
        predicted = _within(data, rows[told], lambda x: fitted.apply(chosen.raw(x)), hours)
        metrics[f"model, answer within {hours:g} h"] = score(outcome, predicted)
        metrics[f"oracle, answer within {hours:g} h"] = score(outcome, truth[told])
    return Trained(
        name=MODEL,
        output="probability of an answer within the bin that begins elapsed_hours after the ask, if none came before",
        candidate=chosen,
        columns=(*(FEATURES[name] for name in RESPONSE_FEATURES), ELAPSED),
        calibration=fitted,
        train=data.slices["train"],
        sizes={name: len(part.sample.y) for name, part in parts.items()},
        golden=golden_rows(test.x),
        validation={
            chosen.kind: round(log_loss(validation.y, chosen.raw(validation.x)), 6),
            "everybody alike": round(log_loss(validation.y, alike(validation.x)), 6),
        },
        test=metrics,
        slices=_slices(data, rows, chosen.raw, fitted),
        parameters={"edges_hours": list(EDGES_HOURS)},
    )


Raw = Callable[[Floats], Floats]


def _slices(data: Dataset, rows: Ints, raw: Raw, fitted: LogisticCalibration) -> dict[str, Scores]:
    hours = 4.0
    rows = rows[data.hours[rows] >= hours]
    outcome = np.nan_to_num(data.answer_hours[rows], nan=np.inf) <= hours
    return by_group(data, rows, outcome, _within(data, rows, lambda x: fitted.apply(raw(x)), hours))


def _within(data: Dataset, rows: Ints, hazard: Raw, hours: float) -> Floats:
    values = response_features(data.history, data.asks_at(rows)).values
    hazards = hazard(person_periods(values, EDGES)).reshape(len(rows), BINS)
    return answered_within(hazards, EDGES, np.full(len(rows), hours))


def _hazard_by_bin(train: Sample) -> Raw:
    """Return the life table: one hazard a bin, the same for every donor."""

    def bin_of(x: Floats) -> Ints:
        return np.searchsorted(EDGES, x[:, -1], side="right") - 1

    events = np.bincount(bin_of(train.x), weights=train.y, minlength=BINS)
    hazards = (events + 0.5) / (np.bincount(bin_of(train.x), minlength=BINS) + 1.0)
    return lambda x: hazards[bin_of(x)]
