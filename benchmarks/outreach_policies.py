"""Ways of choosing whom to ask for a request, on what the service has on record."""

import numpy as np

from backend.domains.blood.matching import RADIUS_KM
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.planner import decide
from backend.domains.blood.outreach.plans import Need, Prospects
from backend.domains.blood.outreach.size import donors_to_ask
from backend.domains.blood.outreach_scoring import Occasion, chances, hazard_edges, prospects, shared_sd
from backend.domains.blood.records import Answer, Component, Outcome
from backend.inference.client import ModelClient
from benchmarks.outreach_month import Batch, Month


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

    def __init__(self, models: ModelClient) -> None:
        self.models, self.edges, self.shared_sd = models, hazard_edges(models), shared_sd(models)
        self.first_reachable: dict[int, float] = {}
        self._next_look: dict[int, float] = {}

    def look(self, month: Month, row: int) -> None:
        """Plan, unless a later look replaced this one."""
        if self._next_look.get(row, month.now) == month.now:
            self.dropped_out(month, row)

    def dropped_out(self, month: Month, row: int) -> None:
        """Plan now."""
        units, urgency, deadline = month.need(row)
        decision = decide(
            Need(units=units, usable_stock=0, urgency=urgency, deadline=deadline, request_sd=self.shared_sd),
            self._asked(month, row),
            now=month.now,
            edges=self.edges,
            score=lambda radius_km, at: self._score(month, row, radius_km, at),
        )
        self.first_reachable.setdefault(row, decision.reachable)
        wave = decision.wave
        if wave is not None and wave.at == month.now:
            rows = wave.donor.astype(np.int32)
            month.ask(row, rows, month.distance(row, rows))
        if decision.look_again_at is not None:
            self._next_look[row] = decision.look_again_at
            month.look_at(decision.look_again_at, row)

    def _score(self, month: Month, row: int, radius_km: float, at: float) -> Prospects:
        found = month.candidates(row, radius_km=radius_km, at=at, cool_down=True)
        return prospects(
            self.models,
            month.history(),
            _occasion(month, row),
            rows=found.rows,
            distance_km=found.distance_km,
            at=at,
            resting_asks=np.empty(0, dtype=np.int64),
        )

    def _asked(self, month: Month, row: int) -> Asked:
        batches = month.batches[row]
        records = [batch.record for batch in batches]
        rows = np.concatenate([np.empty(0, dtype=np.int32), *(record.donor for record in records)])
        asked_at = np.concatenate([np.empty(0), *(record.asked_at for record in records)])
        distance = month.distance(row, rows)
        expected = chances(
            self.models, month.history(), _occasion(month, row), rows=rows, distance_km=distance, asked_at=asked_at
        )
        return Asked(
            donor=rows.astype(np.int64),
            asked_at=asked_at,
            p=expected.p,
            keep=expected.keep,
            hazards=expected.hazards,
            distance_km=distance,
            state=np.concatenate([np.empty(0, dtype=np.int8), *(_states(batch, month.now) for batch in batches)]),
            answered_at=np.concatenate([np.empty(0), *(record.answered_at for record in records)]),
        )


def _occasion(month: Month, row: int) -> Occasion:
    units, urgency, deadline = month.need(row)
    return Occasion(
        blood_group=int(month.requests.blood_group[row]),
        component=Component(int(month.requests.component[row])),
        urgency=urgency,
        units=units,
        deadline=deadline,
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
