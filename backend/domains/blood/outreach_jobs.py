"""The job that plans whom to ask for a request: the stock first, then waves of donors."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from backend.clock import utc_now
from backend.domains.blood.match_jobs import POOL
from backend.domains.blood.matching import CRITICAL, RADIUS_KM
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.plans import TARGET, Need, Plan, Reason
from backend.domains.blood.outreach_queries import Ask, asks_of, committed_donors, held_donors, hold
from backend.domains.blood.outreach_schemas import (
    AskedSoFar,
    Exposure,
    PlanRequest,
    PlanResult,
    StockFirst,
    StockLine,
)
from backend.domains.blood.outreach_scoring import MODELS, shared_sd
from backend.domains.blood.outreach_search import Search, deadline_of
from backend.domains.blood.queries import find_request
from backend.domains.blood.stock_queries import UsableUnits, usable_units
from backend.domains.blood.tables import BloodRequest
from backend.errors import FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.jobs.context import JobContext

URGENT = 3
"""From this urgency on the stock's substitutes count as well; before, only the identical group is spent."""

HOLD = timedelta(hours=1)
"""Donors of a due wave are held at least so long: the time to send it and to record the asks."""

EXPLANATIONS = {
    Reason.STOCK_COVERS: "the usable stock covers the request; issue from it",
    Reason.ENOUGH_LIKELY: "those who were asked reach the target; wait for them",
    Reason.AWAITING_ANSWERS: "waiting for answers costs less than asking more donors now",
    Reason.QUIET_HOURS: "nobody is alerted at night for a request that is not critical",
    Reason.NOBODY_LEFT: "no donor in reach who may be asked has a chance to donate in time",
    Reason.TOO_LATE: "whoever was asked now could not donate in time",
}


def check_plan(request: PlanRequest) -> None:
    """Refuse a plan for a request that is not open.

    Raises:
        NotFound: there is no such open request.
        ValidationFailed: its deadline is over.
    """
    with transaction(read_only=True) as session:
        stored = _open(find_request(session, request.request_id), request.request_id)
    if deadline_of(stored) <= utc_now():
        raise ValidationFailed((FieldError("request_id", "the moment the blood was needed by is over"),))


def plan_outreach(request: PlanRequest, context: JobContext) -> PlanResult:
    """Plan the waves of a request from the stock, from whom it asked before, and from who may be asked.

    Raises:
        NotFound: the request is gone or closed.
        NotServed: there are no donors.
        IntegrityError: another plan took one of the donors at the same moment; run again without them.
        ModelError: a model cannot be served.
    """
    now = context.clock()
    known = _read(request, context, now)
    search = Search(POOL.snapshot(caught_up=True), known.stored, context, known.taken)
    asked = search.asked(known.asks)
    need = Need(
        units=known.stored.units_required,
        usable_stock=known.usable_units,
        urgency=known.stored.urgency,
        deadline=search.occasion.deadline,
        request_sd=shared_sd(context.models),
    )
    found = search.plan(need, asked, now)
    while gone := search.gone(found):
        search = replace(search, taken=search.taken | gone)
        found = search.plan(need, asked, now)
    held_until = _hold(request, known.stored, found, search, now) if request.hold else None
    decision, stored = found.decision, known.stored
    return PlanResult(
        request_id=stored.id,
        as_of=now,
        deadline=deadline_of(stored),
        urgency=stored.urgency,
        units_required=stored.units_required,
        units_wanted=need.wanted,
        stock=StockFirst(usable_units=known.usable_units, lines=[_line(line) for line in known.lines]),
        asked=_so_far(asked),
        probability=decision.probability,
        target=TARGET,
        reachable=decision.reachable,
        escalate=decision.escalate,
        waves=[search.describe(number, wave, now) for number, wave in enumerate(found.waves, start=1)],
        reason=decision.reason,
        explanation=_explanation(found),
        look_again_at=_moment(decision.look_again_at),
        held_until=held_until,
        exposure=Exposure(before=found.exposure_before, after=found.exposure_after),
        policy=POOL.policy.code,
        models={name: context.models.manifest(name).version for name in MODELS},
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says of a request."""

    stored: BloodRequest
    lines: list[UsableUnits]
    taken: frozenset[int]  # donors who are promised to another request, or held for one
    asks: list[Ask]

    @property
    def usable_units(self) -> int:
        """Units of the recipient's group, and of its substitutes when the request is urgent."""
        own, urgent = self.stored.blood_group, self.stored.urgency >= URGENT
        return sum(line.units for line in self.lines if urgent or line.blood_group == own)


def _read(request: PlanRequest, context: JobContext, now: datetime) -> _Known:
    with context.read() as session:
        stored = _open(find_request(session, request.request_id), request.request_id)
        lines = usable_units(
            session,
            component=stored.component,
            blood_group=stored.blood_group,
            latitude=stored.latitude,
            longitude=stored.longitude,
            radius_km=RADIUS_KM[stored.urgency],
            at=now,
        )
        taken = committed_donors(session, besides=stored.id, now=now)
        if stored.urgency != CRITICAL:
            taken |= held_donors(session, besides=stored.id, now=now)
        return _Known(stored, lines, frozenset(taken), asks_of(session, stored.id))


def _open(stored: BloodRequest | None, request_id: int) -> BloodRequest:
    if stored is None or stored.cancelled_at is not None:
        raise NotFound("open blood request", request_id)
    return stored


def _so_far(asked: Asked) -> AskedSoFar:
    counts = {state.name.lower(): int(np.count_nonzero(asked.state == state)) for state in State}
    return AskedSoFar(asked=len(asked), **counts)


def _hold(request: PlanRequest, stored: BloodRequest, found: Plan, search: Search, now: datetime) -> datetime | None:
    """Hold the donors of a wave that is due; also lets go of those of an earlier plan for the request."""
    wave = found.decision.wave
    due = wave is not None and wave.at <= now.timestamp()
    until = max(_moment(found.decision.look_again_at) or now, now + HOLD)
    donors = search.ids(wave.donor) if wave is not None and due else []
    with search.context.commit({}) as session:
        critical = stored.urgency == CRITICAL
        hold(session, donors, request_id=request.request_id, until=until, now=now, take_over=critical)
    return until if donors else None


def _explanation(found: Plan) -> str:
    if found.decision.reason is not None:
        return EXPLANATIONS[found.decision.reason]
    return "ask the donors of the first wave now, and record asks and answers with POST /outcomes"


def _line(line: UsableUnits) -> StockLine:
    return StockLine(
        bank_id=line.bank_id,
        bank=line.name,
        distance_km=line.distance_km,
        blood_group=line.blood_group,
        units=line.units,
        earliest_expiry=line.earliest_expiry,
    )


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
