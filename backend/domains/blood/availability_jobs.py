"""The jobs that say whether donors would accept, and when they would answer."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from backend.clock import utc_now
from backend.domains.blood.availability import own_interval
from backend.domains.blood.donor_cases import Cases, read_cases
from backend.domains.blood.donor_schemas import (
    AnsweredWithin,
    AvailabilityResult,
    DonorAvailability,
    DonorResponseTime,
    DonorsRequest,
    InlineDonor,
    Interval,
    ResponseTimeResult,
)
from backend.domains.blood.features import FeatureMatrix, availability_features, response_features
from backend.domains.blood.parameters import AvailabilityParameters, parameters_of
from backend.domains.blood.policies import DEFAULT_POLICY
from backend.domains.blood.queries import registered_at
from backend.domains.blood.reasons import strongest_reasons
from backend.domains.blood.records import Floats
from backend.domains.blood.response import MODEL as RESPONSE
from backend.domains.blood.response import answered_within, median_of_answers, predict_hazards
from backend.errors import FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.jobs.context import JobContext, Models

AVAILABILITY = "donor_availability"
FURTHEST = timedelta(days=30)  # the features count the last 30 days: further ahead they say nothing
LIKELY = 0.5

Result = TypeVar("Result")


def check_donors(request: DonorsRequest) -> None:
    """Refuse donors that do not exist and moments that make no sense, before anything is stored.

    Raises:
        NotFound: there is no donor `donor_id`.
        ValidationFailed: the same of a list, naming which; or a moment is wrong.
    """
    now = utc_now()
    at = request.at or now
    wrong = []
    if at > now + FURTHEST:
        wrong.append(FieldError("at", f"more than {FURTHEST.days} days ahead, of which nothing is known"))
    if request.request is not None and request.request.needed_by is not None and request.request.needed_by <= at:
        wrong.append(FieldError("request.needed_by", "the moment the blood is needed by is not after the ask"))
    with transaction(read_only=True) as session:
        registered = registered_at(session, [one for one in request.subjects if isinstance(one, int)])
    if request.donor_id is not None and request.donor_id not in registered:
        raise NotFound("donor", request.donor_id)
    for place, one in enumerate(request.subjects):
        field = "donor_id" if request.donor_id else "donor" if request.donor else f"donors.{place}"
        reason = _too_early(one, at) if isinstance(one, InlineDonor) else _unknown(one, registered.get(one), at)
        if reason is not None:
            wrong.append(FieldError(field, reason))
    if wrong:
        raise ValidationFailed(tuple(wrong))


def _too_early(donor: InlineDonor, at: datetime) -> str | None:
    registered = donor.registered_at or at
    return "was registered or born after the moment asked about" if max(registered, donor.born_at) > at else None


def _unknown(donor_id: int, registered: datetime | None, at: datetime) -> str | None:
    if registered is None:
        return f"no donor {donor_id}"
    return f"donor {donor_id} was registered after the moment asked about" if registered > at else None


def predict_availability(request: DonorsRequest, context: JobContext) -> AvailabilityResult:
    """Say how likely each donor accepts if asked at that moment; nothing is asked of anybody.

    Raises:
        NotFound: a stored donor is gone.
        ModelError: the model cannot be served.
    """
    return _availability([_read(request, context)], context.models)[0]


def predict_many_availabilities(
    requests: Sequence[DonorsRequest], contexts: Sequence[JobContext]
) -> list[AvailabilityResult | None]:
    """Answer several requests with one call of the model; None where a stored donor is gone.

    Raises:
        ModelError: the model cannot be served.
    """
    return _answer_many(requests, contexts, _availability)


def predict_response_time(request: DonorsRequest, context: JobContext) -> ResponseTimeResult:
    """Say when each donor would answer if asked at that moment; nothing is asked of anybody.

    Raises:
        NotFound: a stored donor is gone.
        ModelError: the model cannot be served.
    """
    return _response_time([_read(request, context)], context.models)[0]


def predict_many_response_times(
    requests: Sequence[DonorsRequest], contexts: Sequence[JobContext]
) -> list[ResponseTimeResult | None]:
    """Answer several requests with one call of the model; None where a stored donor is gone.

    Raises:
        ModelError: the model cannot be served.
    """
    return _answer_many(requests, contexts, _response_time)


def _read(request: DonorsRequest, context: JobContext) -> Cases:
    with context.read() as session:
        return read_cases(session, request, now=context.clock())


def _answer_many(
    requests: Sequence[DonorsRequest],
    contexts: Sequence[JobContext],
    answer: Callable[[Sequence[Cases], Models], Sequence[Result]],
) -> list[Result | None]:
    read: list[Cases | None] = []
    with contexts[0].read() as session:
        for request, context in zip(requests, contexts, strict=True):
            try:
                read.append(read_cases(session, request, now=context.clock()))
            except NotFound:
                read.append(None)
    found = [cases for cases in read if cases is not None]
    answers = iter(answer(found, contexts[0].models) if found else ())
    return [None if cases is None else next(answers) for cases in read]


def _availability(several: Sequence[Cases], models: Models) -> list[AvailabilityResult]:
    manifest = models.manifest(AVAILABILITY)
    learnt = parameters_of(manifest, AvailabilityParameters)
    features = [availability_features(cases.history, cases.asks) for cases in several]
    values = np.concatenate([one.values for one in features])
    ends = np.cumsum([len(one.values) for one in features])[:-1]
    accepts = np.split(models.predict(AVAILABILITY, values), ends)
    contributions = np.split(models.explain(AVAILABILITY, values), ends)
    return [
        AvailabilityResult(
            at=cases.at,
            policy=DEFAULT_POLICY.code,
            models={AVAILABILITY: manifest.version},
            donors=_available(cases, learnt, columns, probabilities, reasons),
            interval_level=learnt.interval.level,
        )
        for cases, columns, probabilities, reasons in zip(several, features, accepts, contributions, strict=True)
    ]


def _available(
    cases: Cases, learnt: AvailabilityParameters, features: FeatureMatrix, accepts: Floats, contributions: Floats
) -> list[DonorAvailability]:
    low, high = own_interval(
        accepts,
        asks=cases.decayed_asks,
        rate=learnt.interval,
        donor_sd=learnt.donor_sd,
        request_sd=learnt.request_sd,
    )
    donors = []
    for place, standing in enumerate(cases.standings):
        acceptance = float(accepts[place])
        available = acceptance if standing["eligible"] else 0.0
        donors.append(
            DonorAvailability(
                **standing,
                availability_probability=available,
                acceptance_probability=acceptance,
                is_likely_available=available >= LIKELY,
                confidence=max(available, 1.0 - available),
                interval=Interval(low=float(low[place]), high=float(high[place])),
                reasons=strongest_reasons(features, place, contributions[place]),
            )
        )
    return donors


def _response_time(several: Sequence[Cases], models: Models) -> list[ResponseTimeResult]:
    values = [response_features(cases.history, cases.asks).values for cases in several]
    hazards, edges = predict_hazards(models, np.concatenate(values))
    version = models.manifest(RESPONSE).version
    ends = np.cumsum([len(one) for one in values])[:-1]
    return [
        ResponseTimeResult(
            at=cases.at,
            policy=DEFAULT_POLICY.code,
            models={RESPONSE: version},
            donors=_answering(cases, own, edges),
            horizon_hours=cases.horizon_hours,
        )
        for cases, own in zip(several, np.split(hazards, ends), strict=True)
    ]


def _answering(cases: Cases, hazards: Floats, edges: Floats) -> list[DonorResponseTime]:
    hours = np.append(edges[(edges > 0.0) & (edges < cases.horizon_hours)], cases.horizon_hours)
    curve = np.stack([answered_within(hazards, edges, np.full(len(hazards), hour)) for hour in hours], axis=1)
    medians = median_of_answers(hazards, edges)
    return [
        DonorResponseTime(
            **standing,
            answered_within=_points(hours, curve[place]),
            median_hours=None if math.isnan(medians[place]) else round(float(medians[place]), 2),
        )
        for place, standing in enumerate(cases.standings)
    ]


def _points(hours: Floats, probabilities: Floats) -> list[AnsweredWithin]:
    return [
        AnsweredWithin(hours=hour, probability=probability)
        for hour, probability in zip(hours.tolist(), probabilities.tolist(), strict=True)
    ]
