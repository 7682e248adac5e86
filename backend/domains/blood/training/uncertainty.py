"""How sure a probability is: its interval by score, what the rows of a request share, how much donors differ."""

from dataclasses import replace

import numpy as np
from pydantic import JsonValue

from backend.domains.blood.features import availability_features
from backend.domains.blood.history import History
from backend.domains.blood.horizons import DAY
from backend.domains.blood.records import Contacts, Floats32
from backend.domains.blood.training.candidates import Sample
from backend.domains.blood.training.evaluation import interval_coverage
from backend.domains.blood.training.tasks import Task, Trained, calibrate
from backend.ml.calibration import IntervalCurve
from backend.ml.group_effects import fit_group_sd, fit_period_sd

PERIOD = 28.0 * DAY  # the times between which rates are seen to shift


def with_interval(trained: Trained, task: Task, *, truth: Floats32, seed: int) -> Trained:
    """Add what serving reads of the rate at a score: the interval, and the spread between requests and periods."""
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
    parameters: dict[str, JsonValue] = {
        "interval": {
            "level": interval.level,
            "scores": [round(v, 6) for v in interval.scores],
            "low": [round(v, 6) for v in interval.low],
            "high": [round(v, 6) for v in interval.high],
        },
        "request_sd": round(spread, 4),
        "period_sd": round(shift, 4),
    }
    test, rows = task.sample("test"), task.slice("test").rows
    inside = interval_coverage(
        interval,
        test.y,
        trained.calibration.apply(trained.candidate.raw(test.x)),
        truth[rows].astype(np.float64),
    )
    return replace(trained, parameters=trained.parameters | parameters, interval=inside)


def spread_of_unknown_donors(trained: Trained, task: Task) -> float:
    """Return the standard deviation, in logits, of what donors are that their answers have not shown yet.

    The model looks at the calibration slice with every earlier ask forgotten; what a donor's asks then share beyond
    its score is what an interval for a donor without history must allow for.
    """
    data, rows = task.data, task.slice("calibration").rows
    none = np.empty(0)
    forgotten = Contacts(
        donor=none.astype(np.int32),
        request=none.astype(np.int64),
        asked_at=none,
        distance_km=none.astype(np.float32),
        answer=none.astype(np.int8),
        answered_at=none,
        arrived_at=none,
        outcome=none.astype(np.int8),
        ended_at=none,
    )
    blank = History.build(donors=data.world.donors, donations=data.world.donations, contacts=forgotten)
    sample = Sample(availability_features(blank, data.asks_at(rows)).values, task.label[rows])
    probability = calibrate(trained.candidate, sample).apply(trained.candidate.raw(sample.x))
    return fit_group_sd(probability=probability, outcome=sample.y, group=data.asks.donor[rows].astype(np.int64))
