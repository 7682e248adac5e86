"""The donors as one plan sees them: who was asked before, who may be asked, and how a wave of them is answered."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from backend.domains.blood.donor_index import DEFAULT_COOL_DOWN
from backend.domains.blood.donor_pool import Snapshot
from backend.domains.blood.geography import distance_km
from backend.domains.blood.horizons import HORIZON_HOURS
from backend.domains.blood.matching import CRITICAL
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.planner import plan
from backend.domains.blood.outreach.plans import Need, Plan, Prospects, Wave
from backend.domains.blood.outreach_queries import Ask
from backend.domains.blood.outreach_schemas import PlannedDonor, PlannedWave
from backend.domains.blood.outreach_scoring import Occasion, chances, hazard_edges, prospects
from backend.domains.blood.queries import still_listed
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component, Ints
from backend.domains.blood.tables import BloodRequest
from backend.jobs.context import JobContext


def deadline_of(request: BloodRequest) -> datetime:
    """Return by when donations must have ended: as stated, or the urgency's horizon after the request."""
    return request.needed_by or request.created_at + timedelta(hours=HORIZON_HOURS[request.urgency])


@dataclass(frozen=True, slots=True)
class Search:
    """The donors as one plan sees them."""

    snapshot: Snapshot
    stored: BloodRequest
    context: JobContext
    taken: frozenset[int]  # ids of donors who are busy with another request, or held for one

    @property
    def occasion(self) -> Occasion:
        """What the donors are asked for."""
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


def _state(ask: Ask) -> State:
    if ask.outcome == "donated":
        return State.DONATED
    if ask.outcome is not None:
        return State.OUT
    return {"accepted": State.ACCEPTED, "declined": State.DECLINED}.get(ask.answer or "", State.SILENT)
