"""The four models: what each learns from, what it is compared with, and what comes out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pydantic import JsonValue

from backend.domains.blood.features import (
    AVAILABILITY_FEATURES,
    MATCH_FEATURES,
    RELIABILITY_FEATURES,
    availability_features,
    match_features,
    reliability_features,
)
from backend.domains.blood.horizons import HORIZON_HOURS
from backend.domains.blood.records import Codes, Flags, Floats, Ints, Outcome, Sex
from backend.domains.blood.training.candidates import (
    Candidate,
    Sample,
    fit_beta_binomial,
    fit_boosting,
    fit_logistic,
)
from backend.domains.blood.training.dataset import Dataset, Slice
from backend.domains.blood.training.tasks import Task, Trained, finish
from backend.domains.blood.training.uncertainty import spread_of_unknown_donors, with_interval
from backend.ml.metrics import log_loss, log_losses, standard_error

MONOTONE = {"distance_km": -1, "urgency": 1, "hours_until_needed": 1, "completion_rate": 1}
MATCH_TREES = 80  # scored for every candidate of every request, so few and small
MATCH_RATES = (0.1, 0.15, 0.2)  # learning rates to choose from: few trees need larger steps
MATCH_COLUMN_SHARES = (0.6, 0.8, 1.0)  # shares of the columns a tree may use, to choose from
OTHER_TREES = 200
PRODUCT = "product of the funnel"
NOISE = "standard error of their difference"
RFM = ("days_since_last_donation", "total_donations", "days_since_registered")
"""Recency, frequency and time since the first contact: what donor marketing ranks by."""


class WorseThanProductError(Exception):
    """The funnel's product predicts a donation in time better than the model that should replace it."""


def train_availability(data: Dataset, *, seed: int) -> Trained:
    """Train P(accepts | asked): logistic regression or boosted trees, whichever the validation slice prefers."""
    task = Task(data, availability_features, AVAILABILITY_FEATURES, np.ones_like(data.accepted), data.accepted)
    trained = finish(
        task,
        name="donor_availability",
        output="probability that the donor accepts when asked",
        candidates=availability_candidates(task.sample("train"), task.sample("validation"), seed=seed),
        truth=data.world.truth.accept,
    )
    trained = with_interval(trained, task, truth=data.world.truth.accept, seed=seed)
    donor_sd: JsonValue = round(spread_of_unknown_donors(trained, task), 4)
    return replace(trained, parameters=trained.parameters | {"donor_sd": donor_sd})


def availability_candidates(train: Sample, validation: Sample, *, seed: int) -> list[Candidate]:
    """Return what may be served as the model of acceptance: boosted trees and a logistic regression."""
    return [fit_boosting(train, validation, seed=seed, trees=OTHER_TREES), fit_logistic(train)]


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
    part = task.slice("validation")
    product, request = funnel(part), data.world.contacts.request[part.rows]
    trained.validation[PRODUCT] = round(log_loss(validation.y, product), 6)
    trained.validation[NOISE] = round(
        standard_error(
            log_losses(validation.y, trained.candidate.raw(validation.x)) - log_losses(validation.y, product), request
        ),
        6,
    )
    trained = with_interval(trained, task, truth=data.world.truth.donated_in_time, seed=seed)
    horizons: JsonValue = {str(urgency): hours for urgency, hours in HORIZON_HOURS.items()}
    return replace(trained, parameters=trained.parameters | {"horizon_hours": horizons})


def refuse_worse_than_product(match: Trained) -> None:
    """Check that the model that is served for matching is no worse than the funnel it replaces, beyond chance.

    Raises:
        WorseThanProductError: the product's log-loss on the validation slice is lower by more than its standard error.
    """
    direct = match.validation[match.candidate.kind]
    if direct - match.validation[PRODUCT] > match.validation[NOISE]:
        raise WorseThanProductError(
            f"{match.name}: log-loss {direct:.4f} on the validation slice, but {match.validation[PRODUCT]:.4f} for the"
            " product of availability, reliability and screening; nothing was written. Give it more rows or trees."
        )


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
