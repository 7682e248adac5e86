"""The four models: what each learns from, what it is compared with, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import JsonValue

from backend.domains.blood.features import (
    AVAILABILITY_FEATURES,
    FEATURES,
    MATCH_FEATURES,
    RELIABILITY_FEATURES,
    Asks,
    Feature,
    FeatureMatrix,
    availability_features,
    match_features,
    reliability_features,
)
from backend.domains.blood.history import History
from backend.domains.blood.horizons import DAY, HORIZON_HOURS
from backend.domains.blood.records import Codes, Flags, Floats, Floats32, Ints, Outcome, Sex
from backend.domains.blood.training.candidates import (
    Candidate,
    Sample,
    fit_beta_binomial,
    fit_boosting,
    fit_logistic,
)
from backend.domains.blood.training.dataset import Dataset, Slice
from backend.domains.blood.training.evaluation import Scores, by_group, interval_coverage, score
from backend.ml.calibration import (
    IntervalCurve,
    LogisticCalibration,
    fit_logistic_calibration,
)
from backend.ml.group_effects import fit_group_sd, fit_period_sd
from backend.ml.metrics import log_loss

FeatureFunction = Callable[[History, Asks], FeatureMatrix]

MONOTONE = {"distance_km": -1, "urgency": 1, "hours_until_needed": 1, "completion_rate": 1}
PERIOD = 28.0 * DAY  # the times between which rates are seen to shift
MATCH_TREES = 80  # scored for every candidate of every request, so few and small
MATCH_RATES = (0.1, 0.15, 0.2)  # learning rates to choose from: few trees need larger steps
MATCH_COLUMN_SHARES = (0.6, 0.8, 1.0)  # shares of the columns a tree may use, to choose from
OTHER_TREES = 200
PRODUCT = "product of the funnel"
RFM = ("days_since_last_donation", "total_donations", "days_since_registered")
"""Recency, frequency and time since the first contact: what donor marketing ranks by."""


class WorseThanProductError(Exception):
    """The funnel's product predicts a donation in time better than the model that should replace it."""


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


def train_availability(data: Dataset, *, seed: int) -> Trained:
    """Train P(accepts | asked): logistic regression or boosted trees, whichever the validation slice prefers."""
    task = Task(data, availability_features, AVAILABILITY_FEATURES, np.ones_like(data.accepted), data.accepted)
    train = task.sample("train")
    candidates = [fit_boosting(train, task.sample("validation"), seed=seed, trees=OTHER_TREES), fit_logistic(train)]
    return finish(
        task,
        name="donor_availability",
        output="probability that the donor accepts when asked",
        candidates=candidates,
        truth=data.world.truth.accept,
    )


def train_reliability(data: Dataset, *, seed: int) -> Trained:
    """Train P(arrives | accepted) on five columns: beta-binomial, logistic or boosted trees."""
    task = Task(data, reliability_features, RELIABILITY_FEATURES, data.settled, data.kept)
    train = task.sample("train")
    boosting = fit_boosting(train, task.sample("validation"), seed=seed, trees=OTHER_TREES, rate=0.05)
    return finish(
        task,
        name="donor_reliability",
        output="probability that a donor who accepted arrives",
        candidates=[fit_beta_binomial(train), fit_logistic(train), boosting],
        truth=data.world.truth.keep,
    )


def train_match(data: Dataset, *, seed: int, availability: Trained, reliability: Trained) -> Trained:
    """Train P(donation in time | asked) on raw columns, and compare it with the product of the funnel's models."""
    task = Task(data, match_features, MATCH_FEATURES, np.ones_like(data.accepted), data.donated_in_time)
    train, validation = task.sample("train"), task.sample("validation")
    monotone = tuple(MONOTONE.get(name, 0) for name in MATCH_FEATURES)
    direct = [
        fit_boosting(train, validation, seed=seed, trees=MATCH_TREES, monotone=monotone, rate=rate, column_share=share)
        for rate in MATCH_RATES
        for share in MATCH_COLUMN_SHARES
    ]
    funnel = funnel_product(data, availability, reliability)
    distance, rfm = _on_columns(train, ("distance_km",)), _on_columns(train, RFM)
    trained = finish(
        task,
        name="donor_seeker_match",
        output="probability that the donor gives before the deadline when asked",
        candidates=direct,
        truth=data.world.truth.donated_in_time,
        others={
            PRODUCT: lambda part: funnel(task.slice(part)),
            "nearest eligible (logistic on distance)": lambda part: distance(task.sample(part).x),
            "recency, frequency, tenure (logistic)": lambda part: rfm(task.sample(part).x),
        },
    )
    trained.validation[PRODUCT] = round(log_loss(validation.y, funnel(task.slice("validation"))), 6)
    return _with_uncertainty(trained, task, seed=seed)


def refuse_worse_than_product(match: Trained) -> None:
    """Check that the model that is served for matching is no worse than the funnel it replaces.

    Raises:
        WorseThanProductError: the product has the lower log-loss on the validation slice.
    """
    direct = match.validation[match.candidate.kind]
    if match.validation[PRODUCT] < direct:
        raise WorseThanProductError(
            f"{match.name}: log-loss {direct:.4f} on the validation slice, but {match.validation[PRODUCT]:.4f} for the"
            " product of availability, reliability and screening; nothing was written. Give it more rows or trees."
        )


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
    losses = {c.kind: round(log_loss(validation.y, c.raw(validation.x)), 6) for c in candidates}
    chosen = min(candidates, key=lambda c: losses[c.kind])
    fitted = fit_logistic_calibration(probability=chosen.raw(calibration.x), outcome=calibration.y)
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
    )


def golden_rows(x: Floats, *, rows: int = 12) -> Floats:
    """Return rows spread over `x` (n, k), and one with every column missing that is ever missing."""
    chosen = x[np.linspace(0, len(x) - 1, rows).astype(np.int64)].copy()
    chosen[-1, np.isnan(x).any(axis=0)] = np.nan
    return chosen


def _with_uncertainty(trained: Trained, task: Task, *, seed: int) -> Trained:
    """Add what the matcher reads: the interval by score, the spread between requests, and the horizons."""
    part = task.slice("calibration")
    sample = task.sample("calibration")
    request = task.data.world.contacts.request[part.rows]
    raw = trained.candidate.raw(sample.x)
    probability = trained.calibration.apply(raw)
    period = np.floor(task.data.asks.as_of[part.rows] / PERIOD).astype(np.int64)
    # Of the output before calibration, which met these months unseen, as the served model will meet those to come.
    shift = fit_period_sd(probability=raw, outcome=sample.y, group=request, period=period)
    interval = IntervalCurve.fit(score=probability, outcome=sample.y, group=request, shift_sd=shift, seed=seed)
    spread = fit_group_sd(probability=probability, outcome=sample.y, group=request)
    test, rows = task.sample("test"), task.slice("test").rows
    parameters: dict[str, JsonValue] = {
        "interval": {
            "level": interval.level,
            "scores": [round(v, 6) for v in interval.scores],
            "low": [round(v, 6) for v in interval.low],
            "high": [round(v, 6) for v in interval.high],
        },
        "request_sd": round(spread, 4),
        "period_sd": round(shift, 4),
        "horizon_hours": {str(urgency): hours for urgency, hours in HORIZON_HOURS.items()},
    }
    inside = interval_coverage(
        interval,
        test.y,
        trained.calibration.apply(trained.candidate.raw(test.x)),
        task.data.world.truth.donated_in_time[rows].astype(np.float64),
    )
    return replace(trained, parameters=parameters, interval=inside)


def funnel_product(data: Dataset, availability: Trained, reliability: Trained) -> Callable[[Slice], Floats]:
    """Return P(accepts) x P(arrives) x P(passes | sex) x P(in time | gave, urgency) for a slice's rows (n,)."""
    rows = data.slices["train"].rows
    sex, urgency = data.world.donors.sex[data.asks.donor], data.asks.urgency.astype(np.int64)
    arrived = rows[data.settled[rows] & data.kept[rows]]
    gave = arrived[data.world.contacts.outcome[arrived] == Outcome.DONATED]
    passes = _rate_by(sex[arrived], data.world.contacts.outcome[arrived] == Outcome.DONATED, len(Sex))
    in_time = _rate_by(urgency[gave], data.donated_in_time[gave], 5)

    def product(part: Slice) -> Floats:
        asks = data.asks_at(part.rows)
        accepts = availability.candidate.raw(availability_features(data.history, asks).values)
        arrives = reliability.candidate.raw(reliability_features(data.history, asks).values)
        return np.asarray(accepts * arrives * passes[sex[part.rows]] * in_time[urgency[part.rows]])

    return product


def _rate_by(group: Codes | Ints, event: Flags, groups: int) -> Floats:
    rows = np.bincount(group, minlength=groups)
    return (np.bincount(group, weights=event, minlength=groups) + 1.0) / (rows + 1.0 / max(float(event.mean()), 0.01))


def _on_columns(train: Sample, names: tuple[str, ...]) -> Callable[[Floats], Floats]:
    places = [MATCH_FEATURES.index(name) for name in names]
    fitted = fit_logistic(Sample(train.x[:, places], train.y))
    return lambda x: fitted.raw(x[:, places])
