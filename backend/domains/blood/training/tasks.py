"""What one model is trained for, how the candidate to serve is chosen and calibrated, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pydantic import JsonValue

from backend.domains.blood.features import FEATURES, Asks, Feature, FeatureMatrix
from backend.domains.blood.history import History
from backend.domains.blood.records import Flags, Floats, Floats32
from backend.domains.blood.training.candidates import Candidate, Sample
from backend.domains.blood.training.dataset import Dataset, Slice
from backend.domains.blood.training.evaluation import Scores, by_group, score
from backend.ml.calibration import LogisticCalibration, fit_logistic_calibration
from backend.ml.metrics import log_loss

FeatureFunction = Callable[[History, Asks], FeatureMatrix]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model ready to be written: weights, calibration, what it was judged by."""

    name: str
    output: str
    candidate: Candidate
    columns: tuple[Feature, ...]
    calibration: LogisticCalibration
    train: Slice
    sizes: dict[str, int]
    golden: Floats  # (rows, k)
    validation: dict[str, float]  # log-loss by candidate
    test: dict[str, Scores]  # by predictor
    slices: dict[str, Scores]
    parameters: dict[str, JsonValue] = field(default_factory=dict)
    interval: Scores = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to predict about an ask: its columns, the rows it is known for, and the label (contacts,)."""

    data: Dataset
    features: FeatureFunction
    names: tuple[str, ...]
    known: Flags
    label: Flags

    def slice(self, name: str) -> Slice:
        """Return a slice restricted to rows with a label."""
        return self.data.slices[name].only(self.known)

    def sample(self, name: str) -> Sample:
        """Return columns and labels of a slice."""
        rows = self.slice(name).rows
        return Sample(self.features(self.data.history, self.data.asks_at(rows)).values, self.label[rows])

    def sizes(self) -> dict[str, int]:
        """Return the number of rows of each slice."""
        return {name: len(self.slice(name).rows) for name in self.data.slices}


def choose(candidates: list[Candidate], validation: Sample) -> tuple[Candidate, dict[str, float]]:
    """Return the candidate with the lowest log-loss on the validation rows, and the log-loss of each."""
    losses = {c.kind: round(log_loss(validation.y, c.raw(validation.x)), 6) for c in candidates}
    return min(candidates, key=lambda c: losses[c.kind]), losses


def calibrate(chosen: Candidate, calibration: Sample) -> LogisticCalibration:
    """Fit the recalibration of a chosen candidate on rows that chose nothing."""
    return fit_logistic_calibration(probability=chosen.raw(calibration.x), outcome=calibration.y)


def finish(
    task: Task,
    *,
    name: str,
    output: str,
    candidates: list[Candidate],
    truth: Floats32,
    others: dict[str, Callable[[str], Floats]] | None = None,
) -> Trained:
    """Choose the candidate on the validation slice, calibrate it on the next, and judge it once on the last.

    `others` predict a slice by its name; they are calibrated alike, so that the comparison is fair.
    """
    validation, calibration, test = (task.sample(part) for part in ("validation", "calibration", "test"))
    chosen, losses = choose(candidates, validation)
    fitted = calibrate(chosen, calibration)
    probability = fitted.apply(chosen.raw(test.x))

    def calibrated(raw: Callable[[str], Floats]) -> Floats:
        line = fit_logistic_calibration(probability=raw("calibration"), outcome=calibration.y)
        return line.apply(raw("test"))

    rows = task.slice("test").rows
    predictors = {
        "model": probability,
        "oracle": truth[rows].astype(np.float64),
        **{who: calibrated(raw) for who, raw in (others or {}).items()},
        "base rate": np.full(len(test.y), task.label[task.slice("train").rows].mean()),
    }
    request = task.data.world.contacts.request[rows]
    return Trained(
        name=name,
        output=output,
        candidate=chosen,
        columns=tuple(FEATURES[column] for column in task.names),
        calibration=fitted,
        train=task.data.slices["train"],
        sizes=task.sizes(),
        golden=golden_rows(test.x),
        validation=losses,
        test={who: score(test.y, p, request=request) for who, p in predictors.items()},
        slices=by_group(task.data, rows, test.y, probability),
        parameters=chosen.parameters,
    )


def golden_rows(x: Floats, *, rows: int = 12) -> Floats:
    """Return rows spread over `x` (n, k), and one with every column missing that is ever missing."""
    chosen = x[np.linspace(0, len(x) - 1, rows).astype(np.int64)].copy()
    chosen[-1, np.isnan(x).any(axis=0)] = np.nan
    return chosen
