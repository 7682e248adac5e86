"""The job that plans whom to ask for a request: the stock first, then waves of donors."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from backend.domains.blood.donor_index import DEFAULT_COOL_DOWN
from backend.domains.blood.donor_pool import Snapshot
from backend.domains.blood.geography import distance_km
from backend.domains.blood.horizons import HORIZON_HOURS
from backend.domains.blood.match_jobs import POOL
from backend.domains.blood.matching import CRITICAL, RADIUS_KM
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.planner import plan
from backend.domains.blood.outreach.plans import TARGET, Need, Plan, Prospects, Reason, Wave
from backend.domains.blood.outreach_queries import Ask, asks_of, committed_donors, held_donors, hold
from backend.domains.blood.outreach_schemas import (
    AskedSoFar,
    Exposure,
    PlannedDonor,
    PlannedWave,
    PlanRequest,
    PlanResult,
    StockFirst,
    StockLine,
)
from backend.domains.blood.outreach_scoring import MODELS, Occasion, chances, hazard_edges, prospects, shared_sd
from backend.domains.blood.queries import find_request, still_listed
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component, Ints
from backend.domains.blood.stock_queries import UsableUnits, usable_units
from backend.domains.blood.tables import BloodRequest
from backend.errors import FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.jobs.clock import utc_now
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


def deadline_of(request: BloodRequest) -> datetime:
    """Return by when donations must have ended: as stated, or the urgency's horizon after the request."""
    return request.needed_by or request.created_at + timedelta(hours=HORIZON_HOURS[request.urgency])


def plan_outreach(request: PlanRequest, context: JobContext) -> PlanResult:
    """Plan the waves of a request from the stock, from whom it asked before, and from who may be asked.

    Raises:
        NotFound: the request is gone or closed.
        NotServed: there are no donors.
        IntegrityError: another plan took one of the donors at the same moment; run again without them.
        ModelError: a model cannot be served.
    """
    now = context.clock()
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
        asks = asks_of(session, stored.id)
    usable = sum(line.units for line in lines if _counts(line, stored))
    search = _Search(POOL.snapshot(caught_up=True), stored, context, frozenset(taken))
    asked = search.asked(asks)
    need = Need(
        units=stored.units_required,
        usable_stock=usable,
        urgency=stored.urgency,
        deadline=search.occasion.deadline,
        request_sd=shared_sd(context.models),
    )
    found = search.plan(need, asked, now)
    while gone := search.gone(found):
        search = replace(search, taken=search.taken | gone)
        found = search.plan(need, asked, now)
    held_until = _hold(request, stored, found, search, now) if request.hold else None
    return PlanResult(
        request_id=stored.id,
        as_of=now,
        deadline=deadline_of(stored),
        urgency=stored.urgency,
        units_required=stored.units_required,
        units_wanted=need.wanted,
        stock=StockFirst(usable_units=usable, lines=[_line(line) for line in lines]),
        asked=_so_far(asked),
        probability=found.decision.probability,
        target=TARGET,
        reachable=found.decision.reachable,
        escalate=found.decision.escalate,
        waves=[search.describe(number, wave, now) for number, wave in enumerate(found.waves, start=1)],
        reason=found.decision.reason,
        explanation=_explanation(found),
        look_again_at=_moment(found.decision.look_again_at),
        held_until=held_until,
        exposure=Exposure(before=found.exposure_before, after=found.exposure_after),
        policy=POOL.policy.code,
        models={name: context.models.manifest(name).version for name in MODELS},
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """The donors as one plan sees them."""

    snapshot: Snapshot
    stored: BloodRequest
    context: JobContext
    taken: frozenset[int]  # ids of donors who are busy with another request, or held for one

    @property
    def occasion(self) -> Occasion:
        stored = self.stored
        return Occasion(
            blood_group=GROUP_CODE[stored.blood_group],
            component=Component[stored.component.upper()],
            urgency=stored.urgency,
            units=stored.units_required,
            deadline=deadline_of(stored).timestamp(),
        )

    def plan(self, need: Need, asked: Asked, now: datetime) -> Plan:
        """Return the waves with the donors as they are known here."""
        edges = hazard_edges(self.context.models)
        return plan(need, asked, now=now.timestamp(), edges=edges, score=self.score)

    def gone(self, found: Plan) -> frozenset[int]:
        """Return the ids of planned donors who were deleted or withdrew: the copy in memory may not know."""
        planned = [donor for wave in found.waves for donor in self.ids(wave.donor)]
        with self.context.read() as session:
            return frozenset(planned) - still_listed(session, planned)

    def score(self, radius_km: float, at: float) -> Prospects:
        """Return who may be asked at a moment within a radius: everybody but those taken and those cooling down."""
        self.context.check()
        snapshot, stored = self.snapshot, self.stored
        found = snapshot.index.candidates(
            latitude=stored.latitude,
            longitude=stored.longitude,
            radius_km=radius_km,
            blood_group=self.occasion.blood_group,
            component=self.occasion.component,
            as_of=at,
        )
        free = ~np.isin(snapshot.donors.id[found.rows], list(self.taken))
        rows, distance = found.rows[free], found.distance_km[free]
        recent = snapshot.recent_asks(at)
        resting = np.zeros(len(rows), dtype=np.bool_)
        if stored.urgency != CRITICAL:
            resting = recent.cooling_down(rows, as_of=at, cool_down=DEFAULT_COOL_DOWN)
        return prospects(
            self.context.models,
            snapshot.history,
            self.occasion,
            rows=rows[~resting],
            distance_km=distance[~resting],
            at=at,
            resting_asks=recent.in_30_days[rows[resting]],
        )

    def asked(self, asks: list[Ask]) -> Asked:
        """Return those asked before, with what was expected of them then; donors who are gone count as out of reach."""
        donors, stored = self.snapshot.donors, self.stored
        ids = np.array([ask.donor_id for ask in asks], dtype=np.int64)
        rows = np.searchsorted(donors.id, ids)
        known = donors.id[np.minimum(rows, len(donors) - 1)] == ids
        asks = [ask for ask, there in zip(asks, known, strict=True) if there]
        rows = rows[known].astype(np.int32)
        distance = distance_km(donors.latitude[rows], donors.longitude[rows], stored.latitude, stored.longitude)
        asked_at = np.array([ask.asked_at.timestamp() for ask in asks])
        expected = chances(
            self.context.models,
            self.snapshot.history,
            self.occasion,
            rows=rows,
            distance_km=distance,
            asked_at=asked_at,
        )
        return Asked(
            donor=rows.astype(np.int64),
            asked_at=asked_at,
            p=expected.p,
            keep=expected.keep,
            hazards=expected.hazards,
            distance_km=distance,
            state=np.array([_state(ask) for ask in asks], dtype=np.int8),
            answered_at=np.array([np.nan if ask.answered_at is None else ask.answered_at.timestamp() for ask in asks]),
        )

    def ids(self, rows: Ints) -> list[int]:
        """Return the ids of donors."""
        return [int(one) for one in self.snapshot.donors.id[rows]]

    def describe(self, number: int, wave: Wave, now: datetime) -> PlannedWave:
        """Return a wave as it is answered."""
        donors, stored = self.snapshot.donors, self.stored
        rows = wave.donor
        distance = distance_km(donors.latitude[rows], donors.longitude[rows], stored.latitude, stored.longitude)
        return PlannedWave(
            number=number,
            at=datetime.fromtimestamp(wave.at, UTC),
            send=wave.at <= now.timestamp(),
            searched_as=wave.searched_as,
            radius_km=wave.radius_km,
            donors=[
                PlannedDonor(
                    donor_id=int(donors.id[row]),
                    blood_group=BLOOD_GROUPS[donors.blood_group[row]],
                    distance_km=round(float(distance[place]), 2),
                    probability=float(wave.p[place]),
                )
                for place, row in enumerate(rows)
            ],
            probability=wave.probability,
            expected_donations=wave.expected_donations,
            expected_overshoot=wave.expected_overshoot,
        )


def _open(stored: BloodRequest | None, request_id: int) -> BloodRequest:
    if stored is None or stored.cancelled_at is not None:
        raise NotFound("open blood request", request_id)
    return stored


def _counts(line: UsableUnits, stored: BloodRequest) -> bool:
    return line.blood_group == stored.blood_group or stored.urgency >= URGENT


def _state(ask: Ask) -> State:
    if ask.outcome == "donated":
        return State.DONATED
    if ask.outcome is not None:
        return State.OUT
    return {"accepted": State.ACCEPTED, "declined": State.DECLINED}.get(ask.answer or "", State.SILENT)


def _so_far(asked: Asked) -> AskedSoFar:
    counts = {state.name.lower(): int(np.count_nonzero(asked.state == state)) for state in State}
    return AskedSoFar(asked=len(asked), **counts)


def _hold(request: PlanRequest, stored: BloodRequest, found: Plan, search: _Search, now: datetime) -> datetime | None:
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
