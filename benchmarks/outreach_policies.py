"""Ways of choosing whom to ask for a request, on what the service has on record."""

import numpy as np

from backend.domains.blood.features import Asks, availability_features, match_features, response_features
from backend.domains.blood.horizons import HOUR
from backend.domains.blood.matching import RADIUS_KM
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.planner import LEAST_CHANCE, decide
from backend.domains.blood.outreach.plans import Need, Prospects
from backend.domains.blood.outreach.size import donors_to_ask
from backend.domains.blood.outreach.timing import chance_in_time, chance_kept, learnt_hours
from backend.domains.blood.records import Answer, Component, Floats, Outcome, Rows
from backend.domains.blood.response import predict_hazards
from backend.domains.blood.rules import substitution_costs
from backend.inference.client import ModelClient
from benchmarks.outreach_month import Batch, Month

AVAILABILITY, MATCH = "donor_availability", "donor_seeker_match"


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


class Planner:
    """The planner of `backend.domains.blood.outreach`, with the committed models."""

    def __init__(self, models: ModelClient, *, request_sd: float) -> None:
        self.models, self.request_sd = models, request_sd
        self.known: dict[int, list[tuple[Floats, Floats, Floats]]] = {}
        self.stopped_at: dict[int, float] = {}
        self.next_look: dict[int, float] = {}

    def dropped_out(self, month: Month, row: int) -> None:
        """Plan again."""
        self._decide(month, row)

    def look(self, month: Month, row: int) -> None:
        """Plan, unless a later look replaced this one."""
        if self.next_look.get(row, month.now) == month.now:
            self._decide(month, row)

    def _decide(self, month: Month, row: int) -> None:
        units, urgency, deadline = month.need(row)
        need = Need(units=units, usable_stock=0, urgency=urgency, deadline=deadline, request_sd=self.request_sd)
        self.edges = predict_hazards(self.models, np.zeros((0, 16)))[1] if not hasattr(self, "edges") else self.edges
        self.scored: tuple[Rows, Floats, Floats, Floats] | None = None
        decision = decide(
            need,
            self._asked(month, row),
            now=month.now,
            edges=self.edges,
            score=lambda radius_km, at: self._score(month, row, radius_km, at),
        )
        self.stopped_at[row] = decision.probability
        if decision.wave is not None and decision.wave.at <= month.now and self.scored is not None:
            rows, distance, p, hazards = self.scored
            place = np.array([np.flatnonzero(rows == donor)[0] for donor in decision.wave.donor])
            rows, distance, p, hazards = rows[place], distance[place], p[place], hazards[place]
            self.known.setdefault(row, []).append((p, self._keep(month, row, rows, distance), hazards))
            month.ask(row, rows, distance)
            self.stopped_at[row] = decision.wave.probability
        if decision.look_again_at is not None:
            self.next_look[row] = decision.look_again_at
            month.look_at(decision.look_again_at, row)

    def _score(self, month: Month, row: int, radius_km: float, at: float) -> Prospects:
        _, urgency, deadline = month.need(row)
        found = month.candidates(row, radius_km=radius_km, at=at, cool_down=True)
        hours = (deadline - at) / HOUR
        asks = self._asks(month, row, found.rows, found.distance_km, at)
        features = match_features(month.history(), asks)
        p = self.models.predict(MATCH, features.values)
        kept = np.flatnonzero(p >= LEAST_CHANCE)
        rows, distance = found.rows[kept], found.distance_km[kept]
        asks = self._asks(month, row, rows, distance, at)
        hazards, edges = predict_hazards(self.models, response_features(month.history(), asks).values)
        p = chance_in_time(p[kept], hazards=hazards, edges=edges, hours=hours, distance_km=distance, urgency=urgency)
        self.scored = rows, distance, p, hazards
        costs = substitution_costs(int(month.requests.blood_group[row]), Component(int(month.requests.component[row])))
        return Prospects(
            donor=rows.astype(np.int64),
            p=p,
            hazards=hazards,
            distance_km=distance,
            scarcity=costs[month.life.donors.blood_group[rows]],
            recent_asks=features.column("asks_last_30d")[kept].astype(np.int64),
            resting_asks=np.empty(0, dtype=np.int64),
        )

    def _keep(self, month: Month, row: int, rows: Rows, distance: Floats) -> Floats:
        """Return P(donates in time | accepted): the model of the whole over the model of the first step."""
        asks = self._asks(month, row, rows, distance, month.now)
        p = self.models.predict(MATCH, match_features(month.history(), asks).values)
        accepts = self.models.predict(AVAILABILITY, availability_features(month.history(), asks).values)
        return chance_kept(p, accepts)

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
        batches = month.batches[row]
        known = self.known.get(row, [])
        bins = len(self.edges) - 1
        return Asked(
            donor=np.concatenate([np.empty(0, dtype=np.int64), *(batch.record.donor for batch in batches)]),
            asked_at=np.concatenate([np.empty(0), *(batch.record.asked_at for batch in batches)]),
            p=np.concatenate([np.empty(0), *(p for p, _, _ in known)]),
            keep=np.concatenate([np.empty(0), *(keep for _, keep, _ in known)]),
            hazards=np.concatenate([np.empty((0, bins)), *(hazards for _, _, hazards in known)]),
            distance_km=np.concatenate([np.empty(0), *(batch.record.distance_km for batch in batches)]),
            state=np.concatenate([np.empty(0, dtype=np.int8), *(_states(batch, month.now) for batch in batches)]),
            answered_at=np.concatenate([np.empty(0), *(batch.record.answered_at for batch in batches)]),
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
