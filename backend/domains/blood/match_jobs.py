"""The job that matches donors to a request: read, find candidates, score, rank, explain."""

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.clock import utc_now
from backend.domains.blood.donor_index import Candidates, Exclusion
from backend.domains.blood.donor_pool import DonorPool, Snapshot
from backend.domains.blood.features import (
    Asks,
    availability_features,
    match_features,
    reliability_features,
    response_features,
)
from backend.domains.blood.horizons import HORIZON_HOURS
from backend.domains.blood.matching import CRITICAL, RADIUS_KM, matches_to_return, rank
from backend.domains.blood.outreach.size import donors_to_ask
from backend.domains.blood.outreach_scoring import shared_sd
from backend.domains.blood.queries import find_request, still_listed
from backend.domains.blood.reasons import strongest_reasons
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component, Floats, Rows
from backend.domains.blood.response import median_hours
from backend.domains.blood.rules import substitution_costs
from backend.domains.blood.schemas import AskPlan, DonorMatch, MatchRequest, MatchResult
from backend.domains.blood.tables import BloodRequest, MatchPrediction
from backend.errors import FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.jobs.context import JobContext
from backend.ml.calibration import IntervalCurve

AVAILABILITY, RESPONSE, RELIABILITY, MATCH = (
    "donor_availability",
    "donor_response_time",
    "donor_reliability",
    "donor_seeker_match",
)
MODELS = (AVAILABILITY, RESPONSE, RELIABILITY, MATCH)
SPARE = 10  # candidates ranked beyond top_k, in place of donors who withdrew a moment ago

POOL = DonorPool()


@dataclass(frozen=True, slots=True)
class Need:
    """What is needed, where and until when; from a stored request or an inline one."""

    request_id: int | None
    blood_group: str
    component: Component
    latitude: float
    longitude: float
    urgency: int
    units: int
    needed_by: datetime | None

    def hours_until_needed(self, now: datetime) -> float:
        """Return the hours the requester left, NaN when no time was stated."""
        return math.nan if self.needed_by is None else (self.needed_by - now).total_seconds() / 3600.0


def check_match(request: MatchRequest) -> None:
    """Refuse a match that cannot be served, before it is stored.

    Raises:
        NotFound: there is no such request.
        ValidationFailed: the moment it was needed by is over.
    """
    with transaction(read_only=True) as session:
        need = _need(session, request)
    if need.needed_by is not None and need.needed_by <= utc_now():
        field = "request_id" if need.request_id is not None else "request.needed_by"
        raise ValidationFailed((FieldError(field, "the moment the blood was needed by is over"),))


def match_donors(request: MatchRequest, context: JobContext) -> MatchResult:
    """Rank the donors who may be asked for a request; nothing is asked of anybody.

    Raises:
        NotFound: the stored request is gone.
        NotServed: there are no donors.
        ModelError: a model cannot be served.
    """
    now = context.clock()
    with context.read() as session:
        need = _need(session, request)
    snapshot = POOL.snapshot()
    radius_km = request.radius_km or RADIUS_KM[need.urgency]
    candidates = snapshot.index.candidates(
        latitude=need.latitude,
        longitude=need.longitude,
        radius_km=radius_km,
        blood_group=GROUP_CODE[need.blood_group],
        component=need.component,
        as_of=now.timestamp(),
        recent=None if need.urgency == CRITICAL else snapshot.recent_asks(now.timestamp()),
    )
    top_k = request.top_k or matches_to_return(need.units, need.urgency)
    ranked = _rank(snapshot, need, candidates, context, now, top_k=top_k)
    matches = _describe(snapshot, need, ranked, context, now)
    if request.save_predictions:
        context.store(*_to_store(matches, need, context, now))
    hours = need.hours_until_needed(now)
    return MatchResult(
        matches=matches,
        ask=ranked.ask,
        reason=_why_nobody(candidates, need, radius_km) if not matches else None,
        excluded={
            "outside_radius": len(snapshot.donors) - candidates.within_radius,
            **{str(reason): count for reason, count in candidates.excluded.items()},
        },
        blood_group=need.blood_group,
        component=need.component.name.lower(),
        urgency=need.urgency,
        units_required=need.units,
        horizon_hours=HORIZON_HOURS[need.urgency] if math.isnan(hours) else hours,
        radius_km=radius_km,
        interval_level=ranked.interval.level,
        policy=POOL.policy.code,
        as_of=now,
        models={name: context.models.manifest(name).version for name in MODELS},
        saved=request.save_predictions and bool(matches),
    )


class MatchParameters(BaseModel):
    """What the match model learnt besides its trees: intervals by score."""

    interval: IntervalCurve


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The best candidates, in order; columns are (k,)."""

    rows: Rows
    distance_km: Floats
    score: Floats
    interval: IntervalCurve
    ask: AskPlan


def _need(session: Session, request: MatchRequest) -> Need:
    asked = request.request
    if asked is not None:
        return Need(
            request_id=None,
            blood_group=asked.blood_group,
            component=Component[asked.component.upper()],
            latitude=asked.latitude,
            longitude=asked.longitude,
            urgency=asked.urgency,
            units=asked.units_required,
            needed_by=asked.needed_by,
        )
    stored: BloodRequest | None = find_request(session, request.request_id or 0)
    if stored is None or stored.cancelled_at is not None:
        raise NotFound("open blood request", request.request_id)
    return Need(
        request_id=stored.id,
        blood_group=stored.blood_group,
        component=Component[stored.component.upper()],
        latitude=stored.latitude,
        longitude=stored.longitude,
        urgency=stored.urgency,
        units=stored.units_required,
        needed_by=stored.needed_by,
    )


def _rank(
    snapshot: Snapshot, need: Need, candidates: Candidates, context: JobContext, now: datetime, *, top_k: int
) -> _Ranked:
    """Score every candidate with one model, rank them, and see how many to ask; nobody left the service meanwhile."""
    learnt = MatchParameters.model_validate(context.models.manifest(MATCH).parameters)
    asks = _asks(snapshot, need, candidates.rows, candidates.distance_km, now)
    features = match_features(snapshot.history, asks)
    scores = context.models.predict(MATCH, features.values)
    context.progress(0.6, f"{len(scores):,} candidates scored")
    order = rank(
        scores,
        distance_km=candidates.distance_km,
        scarcity=substitution_costs(GROUP_CODE[need.blood_group], need.component)[
            snapshot.donors.blood_group[candidates.rows]
        ],
        recent_asks=features.column("asks_last_30d").astype(np.int64),
        donor_id=snapshot.donors.id[candidates.rows],
    )
    plan = donors_to_ask(scores[order], need.units, request_sd=shared_sd(context.models))
    best = order[: top_k + SPARE]
    with context.read() as session:
        listed = still_listed(session, snapshot.donors.id[candidates.rows[best]].tolist())
    best = best[np.isin(snapshot.donors.id[candidates.rows[best]], list(listed))][:top_k]
    return _Ranked(
        rows=candidates.rows[best],
        distance_km=candidates.distance_km[best],
        score=scores[best],
        interval=learnt.interval,
        ask=AskPlan(
            donors=plan.donors, pool=plan.pool, probability=plan.probability, target=plan.target, reached=plan.reached
        ),
    )


def _describe(snapshot: Snapshot, need: Need, ranked: _Ranked, context: JobContext, now: datetime) -> list[DonorMatch]:
    """Say everything about the donors that are returned; the other models see only these."""
    if not len(ranked.rows):
        return []
    asks = _asks(snapshot, need, ranked.rows, ranked.distance_km, now)
    features = match_features(snapshot.history, asks)
    low, high = ranked.interval.at(ranked.score)
    availability = context.models.predict(AVAILABILITY, availability_features(snapshot.history, asks).values)
    reliability = context.models.predict(RELIABILITY, reliability_features(snapshot.history, asks).values)
    hours = median_hours(context.models, response_features(snapshot.history, asks).values)
    contributions = context.models.explain(MATCH, features.values)
    return [
        DonorMatch(
            rank=place + 1,
            donor_id=int(snapshot.donors.id[row]),
            blood_group=BLOOD_GROUPS[snapshot.donors.blood_group[row]],
            distance_km=round(float(ranked.distance_km[place]), 2),
            match_score=float(ranked.score[place]),
            match_score_low=min(float(low[place]), float(ranked.score[place])),
            match_score_high=max(float(high[place]), float(ranked.score[place])),
            availability_score=float(availability[place]),
            response_time_hours=None if math.isnan(hours[place]) else round(float(hours[place]), 2),
            reliability_score=float(reliability[place]),
            reasons=strongest_reasons(features, place, contributions[place]),
        )
        for place, row in enumerate(ranked.rows)
    ]


def _asks(snapshot: Snapshot, need: Need, rows: Rows, distance_km: Floats, now: datetime) -> Asks:
    count = len(rows)
    return Asks(
        donor=rows,
        as_of=np.full(count, now.timestamp()),
        distance_km=distance_km,
        urgency=np.full(count, float(need.urgency)),
        units=np.full(count, float(need.units)),
        hours_until_needed=np.full(count, need.hours_until_needed(now)),
        group_match=(snapshot.donors.blood_group[rows] == GROUP_CODE[need.blood_group]).astype(np.float64),
    )


def _to_store(matches: list[DonorMatch], need: Need, context: JobContext, now: datetime) -> list[MatchPrediction]:
    version = context.models.manifest(MATCH).version
    return [
        MatchPrediction(
            job_id=context.job_id,
            request_id=need.request_id,
            at=now,
            model_version=version,
            **match.model_dump(exclude={"blood_group"}),
        )
        for match in matches
    ]


def _why_nobody(candidates: Candidates, need: Need, radius_km: float) -> str:
    if candidates.within_radius == 0:
        return f"no donor is registered within {radius_km:g} km"
    compatible = candidates.within_radius - candidates.excluded[Exclusion.INCOMPATIBLE]
    if compatible == 0:
        return f"none of the {candidates.within_radius} donors within {radius_km:g} km may give to {need.blood_group}"
    return f"none of the {compatible} compatible donors within {radius_km:g} km may be asked now"
