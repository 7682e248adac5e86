"""Ways of choosing whom to ask for a request, on what the service has on record."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from backend.domains.blood.features import Asks, availability_features, match_features, response_features
from backend.domains.blood.horizons import HOUR
from backend.domains.blood.matching import RADIUS_KM
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.planner import LEAST_CHANCE, decide
from backend.domains.blood.outreach.plans import Need, Prospects
from backend.domains.blood.outreach.size import donors_to_ask
from backend.domains.blood.outreach.timing import chance_in_time, chance_kept, learnt_hours
from backend.domains.blood.records import Answer, Component, Floats, Ints, Outcome, Rows
from backend.domains.blood.response import EDGES_HOURS, MODEL, predict_hazards
from backend.domains.blood.rules import substitution_costs
from backend.inference.client import ModelClient
from benchmarks.outreach_month import Batch, Month

AVAILABILITY, MATCH = "donor_availability", "donor_seeker_match"
HAZARDS = MODEL
EDGES = np.array(EDGES_HOURS)


class Everyone:
    """Everyone eligible within the urgency's radius, at once."""

    def __init__(self, *, cool_down: bool) -> None:
        self.cool_down = cool_down

    def look(self, month: Month, row: int) -> None:
        """Ask them all."""
        found = month.candidates(row, radius_km=RADIUS_KM[month.need(row)[1]], at=month.now, cool_down=self.cool_down)
        month.ask(row, found.rows, found.distance_km)

    def dropped_out(self, month: Month, row: int) -> None:
        """Nobody is left to ask."""


class Some:
    """As many eligible donors as the base rate of the past asks for, at once: the nearest, or any."""

    def __init__(self, *, base_rate: float, request_sd: float, seed: int | None) -> None:
        self.base_rate, self.request_sd, self.seed = base_rate, request_sd, seed

    def look(self, month: Month, row: int) -> None:
        """Ask the number that reaches 95 % if every donor has the base rate."""
        units, urgency, _ = month.need(row)
        found = month.candidates(row, radius_km=RADIUS_KM[urgency], at=month.now, cool_down=True)
        wanted = donors_to_ask(np.full(2_000, self.base_rate), units, request_sd=self.request_sd).donors
        order = np.argsort(found.distance_km)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, 4, row]).permutation(len(order))
        month.ask(row, found.rows[order[:wanted]], found.distance_km[order[:wanted]])

    def dropped_out(self, month: Month, row: int) -> None:
        """Ask nobody else."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Donors as one look scored them (n,)."""

    rows: Rows
    distance_km: Floats
    p: Floats
    hazards: Floats

    def of(self, donor: Ints) -> "Scored":
        """Return those of `donor` (m,), in that order."""
        order = np.argsort(self.rows)
        place = order[np.searchsorted(self.rows, donor, sorter=order)]
        return Scored(self.rows[place], self.distance_km[place], self.p[place], self.hazards[place])


class Planner:
    """The planner of `backend.domains.blood.outreach`, with the committed models."""

    def __init__(self, models: ModelClient, *, request_sd: float) -> None:
        self.models, self.request_sd = models, request_sd
        self.first_reachable: dict[int, float] = {}
        self._expected: dict[int, list[tuple[Scored, Floats]]] = defaultdict(list)
        self._next_look: dict[int, float] = {}

    @staticmethod
    def shared_sd(models: ModelClient) -> float:
        """Return the sd of what donors asked together share: the luck of the request, and of the time of year."""
        learnt = models.manifest(MATCH).parameters
        return float(np.hypot(learnt["request_sd"], learnt["period_sd"]))

    def look(self, month: Month, row: int) -> None:
        """Plan, unless a later look replaced this one."""
        if self._next_look.get(row, month.now) == month.now:
            self.dropped_out(month, row)

    def dropped_out(self, month: Month, row: int) -> None:
        """Plan now."""
        units, urgency, deadline = month.need(row)
        scored: list[Scored] = []

        def score(radius_km: float, at: float) -> Prospects:
            found, prospects = self._score(month, row, radius_km, at)
            scored.append(found)
            return prospects

        decision = decide(
            Need(units=units, usable_stock=0, urgency=urgency, deadline=deadline, request_sd=self.request_sd),
            self._asked(month, row),
            now=month.now,
            edges=EDGES,
            score=score,
        )
        self.first_reachable.setdefault(row, decision.reachable)
        wave = decision.wave
        if wave is not None and wave.at == month.now:
            chosen = scored[0].of(wave.donor)  # the second, if any, looked further and asks nobody
            self._expected[row].append((chosen, self._keep(month, row, chosen)))
            month.ask(row, chosen.rows, chosen.distance_km)
        if decision.look_again_at is not None:
            self._next_look[row] = decision.look_again_at
            month.look_at(decision.look_again_at, row)

    def _score(self, month: Month, row: int, radius_km: float, at: float) -> tuple[Scored, Prospects]:
        _, urgency, deadline = month.need(row)
        found = month.candidates(row, radius_km=radius_km, at=at, cool_down=True)
        hours = (deadline - at) / HOUR
        features = match_features(month.history(), self._asks(month, row, found.rows, found.distance_km, at))
        p = self.models.predict(MATCH, features.values)
        worthy = np.flatnonzero(p >= LEAST_CHANCE)
        rows, distance = found.rows[worthy], found.distance_km[worthy]
        asks = self._asks(month, row, rows, distance, at)
        hazards, _ = predict_hazards(self.models, response_features(month.history(), asks).values)
        p = chance_in_time(p[worthy], hazards=hazards, edges=EDGES, hours=hours, distance_km=distance, urgency=urgency)
        costs = substitution_costs(int(month.requests.blood_group[row]), Component(int(month.requests.component[row])))
        return Scored(rows, distance, p, hazards), Prospects(
            donor=rows.astype(np.int64),
            p=p,
            hazards=hazards,
            distance_km=distance,
            scarcity=costs[month.life.donors.blood_group[rows]],
            recent_asks=features.column("asks_last_30d")[worthy].astype(np.int64),
            resting_asks=np.empty(0, dtype=np.int64),
        )

    def _keep(self, month: Month, row: int, chosen: Scored) -> Floats:
        """Return P(donates in time | accepted)."""
        asks = self._asks(month, row, chosen.rows, chosen.distance_km, month.now)
        p = self.models.predict(MATCH, match_features(month.history(), asks).values)
        return chance_kept(p, self.models.predict(AVAILABILITY, availability_features(month.history(), asks).values))

    def _asks(self, month: Month, row: int, rows: Rows, distance: Floats, at: float) -> Asks:
        units, urgency, deadline = month.need(row)
        hours = learnt_hours((deadline - at) / HOUR, urgency=urgency)
        n = len(rows)
        return Asks(
            donor=rows,
            as_of=np.full(n, at),
            distance_km=distance,
            urgency=np.full(n, float(urgency)),
            units=np.full(n, float(units)),
            hours_until_needed=np.full(n, hours),
            group_match=(month.life.donors.blood_group[rows] == month.requests.blood_group[row]).astype(np.float64),
        )

    def _asked(self, month: Month, row: int) -> Asked:
        records, expected = [batch.record for batch in month.batches[row]], self._expected[row]
        return Asked(
            donor=np.concatenate([np.empty(0, dtype=np.int64), *(record.donor for record in records)]),
            asked_at=np.concatenate([np.empty(0), *(record.asked_at for record in records)]),
            p=np.concatenate([np.empty(0), *(scored.p for scored, _ in expected)]),
            keep=np.concatenate([np.empty(0), *(keep for _, keep in expected)]),
            hazards=np.concatenate([np.empty((0, len(EDGES) - 1)), *(scored.hazards for scored, _ in expected)]),
            distance_km=np.concatenate([np.empty(0), *(scored.distance_km for scored, _ in expected)]),
            state=np.concatenate([np.empty(0, dtype=np.int8), *(_states(b, month.now) for b in month.batches[row])]),
            answered_at=np.concatenate([np.empty(0), *(record.answered_at for record in records)]),
        )


def _states(batch: Batch, now: float) -> np.ndarray:
    """Return what became of donors asked together; a donation is known even where its outcome was not entered."""
    answer = batch.record.answer
    ended = (answer == Answer.ACCEPTED) & (batch.deeds.ended_at <= now)
    gave = ended & (batch.deeds.outcome == Outcome.DONATED)
    return np.select(
        [gave, ended, answer == Answer.ACCEPTED, answer == Answer.DECLINED],
        [State.DONATED, State.OUT, State.ACCEPTED, State.DECLINED],
        State.SILENT,
    ).astype(np.int8)
