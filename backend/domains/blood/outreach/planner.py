"""Plans the waves of one request, again and again as answers come in; nothing is asked of anybody here.

`decide` looks at what is known at one moment and says whom to ask. `plan` also sketches what would follow if nothing
were heard meanwhile. Only a wave whose moment has come is to be sent; when the next look is due, or a donor who had
accepted drops out, call again: the rest is then planned anew with the answers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from backend.domains.blood.horizons import HOUR
from backend.domains.blood.matching import CRITICAL, RADIUS_KM, rank
from backend.domains.blood.outreach.exposure import gini
from backend.domains.blood.outreach.outlook import Asked, Outlook, outlook
from backend.domains.blood.outreach.pace import PACE, next_allowed, radii, searched_as
from backend.domains.blood.outreach.plans import TARGET, Decision, Need, Plan, Prospects, Reason, Score, Wave, nobody
from backend.domains.blood.outreach.size import POOL_LIMIT
from backend.domains.blood.outreach.timing import DONATION_HOURS, answer_window, worth_of_delay
from backend.domains.blood.outreach.wave import Choice, Ranked, choose, level_to_reach
from backend.domains.blood.records import Floats, Ints

LEAST_CHANCE: Final = 0.02
"""Nobody is asked below this probability: at fifty alerts a donation, goodwill is worth more."""

MOST_LOOKS: Final = 12
"""How many looks ahead a plan sketches; each scores the donors within reach once."""


def decide(need: Need, asked: Asked, *, now: float, edges: Floats, score: Score) -> Decision:
    """Return whom to ask for a request at epoch second `now`; hazards are of bins between `edges` hours.

    `asked` are all who were asked for this request, those who donated included.
    """
    if need.wanted == 0:
        return nobody(Reason.STOCK_COVERS, 1.0)
    search = _Search(need, asked, edges, score)
    return search.look(search.known(now), at=now).decision


def plan(need: Need, asked: Asked, *, now: float, edges: Floats, score: Score) -> Plan:
    """Return what `decide` returns, and the waves that would follow if nothing were heard meanwhile.

    A later wave is sent only if those before it turn out short: it is sized for that share, counted before any answer.
    """
    if need.wanted == 0:
        return Plan(nobody(Reason.STOCK_COVERS, 1.0), (), None, None)
    search = _Search(need, asked, edges, score)
    first = look = search.look(search.known(now), at=now)
    waves: list[Wave] = []
    for _ in range(MOST_LOOKS):
        if look.decision.wave is not None:
            waves.append(look.decision.wave)
        if look.next_at is None or look.after.probability >= TARGET:
            break
        look = search.look(look.after, at=look.next_at, planned=tuple(waves))
    return Plan(first.decision, tuple(waves), *_exposure(first.pool, waves))


@dataclass(frozen=True, slots=True)
class _Look:
    """A decision, and what a plan needs to go on from it."""

    decision: Decision
    after: Outlook
    next_at: float | None
    pool: Prospects | None


@dataclass(frozen=True, slots=True)
class _Moment:
    """When donors may be alerted next, as which urgency the request searches then, and when it would look again."""

    at: float
    postponed: bool  # by quiet hours
    urgency: int
    following: float
    next_at: float | None  # None: too late to help


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for the donors of one request."""

    need: Need
    asked: Asked
    edges: Floats
    score: Score

    def known(self, now: float) -> Outlook:
        """Return what those asked promise at `now`."""
        need = self.need
        return outlook(
            self.asked, units=need.wanted, deadline=need.deadline, now=now, edges=self.edges, sd=need.request_sd
        )

    def look(self, known: Outlook, *, at: float, planned: tuple[Wave, ...] = ()) -> _Look:
        """Decide at `at`, or as soon afterwards as donors may be alerted; `planned` are a plan's earlier waves."""
        moment = self._moment(at)
        if known.probability >= TARGET:
            return self._nobody(Reason.ENOUGH_LIKELY, known, moment)
        if not self._helps(at):
            return self._nobody(Reason.TOO_LATE, known, moment)
        if not self._helps(moment.at):
            return self._nobody(Reason.QUIET_HOURS, known, moment)
        found = self._search(known, moment, planned)
        if not found.choice.donors:
            reason = Reason.AWAITING_ANSWERS if len(found.rows) else Reason.NOBODY_LEFT
            return self._nobody(reason, known, moment, found)
        after = known.plus(found.chances)
        decision = Decision(
            wave=found.wave(after, at=moment.at),
            reason=Reason.QUIET_HOURS if moment.postponed else None,
            look_again_at=moment.at if moment.postponed else moment.next_at,
            probability=known.probability,
            reachable=found.reachable,
        )
        return _Look(decision, after, moment.next_at, found.pool)

    def _moment(self, at: float) -> _Moment:
        need = self.need
        allowed = next_allowed(at, urgency=need.urgency)
        urgency = searched_as(need.urgency, (need.deadline - allowed) / HOUR)
        following = next_allowed(allowed + PACE[urgency].interval_hours * HOUR, urgency=need.urgency)
        return _Moment(allowed, allowed > at, urgency, following, following if self._helps(following) else None)

    def _helps(self, at: float) -> bool:
        """Whether somebody next door who is asked at `at` and answers at once can donate in time."""
        return self.need.deadline - at > DONATION_HOURS * HOUR

    def _steps(self, moment: _Moment, planned: tuple[Wave, ...]) -> int:
        """Return how many intervals ago the first wave was: the radius has grown as often."""
        begun = min([moment.at, *self.asked.asked_at.tolist(), *(wave.at for wave in planned)])
        return int((moment.at - begun) / (PACE[moment.urgency].interval_hours * HOUR))

    def _order(self, pool: Prospects, at: float, planned: tuple[Wave, ...]) -> Ints:
        """Return the positions of those worth asking, best first; nobody is asked twice for one request."""
        taken = np.concatenate([self.asked.donor, *(wave.donor for wave in planned)])
        window = answer_window((self.need.deadline - at) / HOUR, pool.distance_km)
        rows = np.flatnonzero((pool.p >= LEAST_CHANCE) & (window > 0.0) & ~np.isin(pool.donor, taken))
        best = rank(
            pool.p[rows],
            distance_km=pool.distance_km[rows],
            scarcity=pool.scarcity[rows],
            recent_asks=pool.recent_asks[rows],
            donor_id=pool.donor[rows],
            top_k=POOL_LIMIT,
        )
        return np.asarray(rows[best])

    def _search(self, known: Outlook, moment: _Moment, planned: tuple[Wave, ...]) -> "_Found":
        """Search as far as the urgency does; say what the farthest search would reach."""
        pool, rows, ranked = self._pool(known, moment, planned, radius_km=RADIUS_KM[moment.urgency])
        level = level_to_reach(
            ranked,
            patience=PACE[moment.urgency].patience,
            target=TARGET,
            planned=known.probability if planned else 0.0,
        )
        reach = radii(moment.urgency, self._steps(moment, planned))
        choice = choose(known, ranked, radii=reach, level=level, target=TARGET)
        reachable = choice.reachable
        if reachable < TARGET and moment.urgency < CRITICAL:
            *_, farthest = self._pool(known, moment, planned, radius_km=RADIUS_KM[CRITICAL])
            reachable = known.probability_with(farthest.now)
        return _Found(pool, rows, ranked, choice, moment.urgency, reachable)

    def _pool(
        self, known: Outlook, moment: _Moment, planned: tuple[Wave, ...], *, radius_km: float
    ) -> tuple[Prospects, Ints, Ranked]:
        """Return who may be asked, the positions of those worth asking, best first, and their chances."""
        pool = self.score(radius_km, moment.at)
        rows = self._order(pool, moment.at, planned)
        return pool, rows, self._ranked(known, pool, rows, moment)

    def _ranked(self, known: Outlook, pool: Prospects, rows: Ints, moment: _Moment) -> Ranked:
        distance, deadline = pool.distance_km[rows], self.need.deadline
        worth = worth_of_delay(
            pool.hazards[rows],
            self.edges,
            before=answer_window((deadline - moment.at) / HOUR, distance),
            after=answer_window((deadline - moment.following) / HOUR, distance),
        )
        return Ranked(distance, known.chances(pool.p[rows]), known.chances(pool.p[rows] * worth))

    def _nobody(self, reason: Reason, known: Outlook, moment: _Moment, found: "_Found | None" = None) -> _Look:
        """Ask nobody; a look in the morning is worth while whenever this one was put off to it and helps."""
        again = moment.at if moment.postponed and self._helps(moment.at) else moment.next_at
        reachable = None if found is None else found.reachable
        decision = nobody(reason, known.probability, reachable=reachable, look_again_at=again)
        return _Look(decision, known, moment.next_at, None if found is None else found.pool)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search found, and whom it would ask."""

    pool: Prospects
    rows: Ints  # of the pool, best first
    ranked: Ranked
    choice: Choice
    urgency: int  # as which it searched
    reachable: float

    @property
    def _chosen(self) -> Ints:
        return np.flatnonzero(self.ranked.distance_km <= self.choice.radius_km)[: self.choice.donors]

    @property
    def chances(self) -> Floats:
        """The chances given luck (donors, nodes) of those to ask."""
        return self.ranked.now[self._chosen]

    def wave(self, after: Outlook, *, at: float) -> Wave:
        """Return the wave at `at`, with what is to be expected `after` it."""
        rows = self.rows[self._chosen]
        return Wave(
            at=at,
            donor=self.pool.donor[rows],
            p=self.pool.p[rows],
            radius_km=self.choice.radius_km,
            searched_as=self.urgency,
            probability=after.probability,
            expected_donations=after.expected,
            expected_overshoot=after.overshoot,
        )


def _exposure(pool: Prospects | None, waves: list[Wave]) -> tuple[float | None, float | None]:
    """Return the Gini coefficient of the asks in 30 days of the eligible donors, now and when all `waves` are sent."""
    if pool is None:
        return None, None
    chosen = np.concatenate([np.empty(0, dtype=np.int64), *(wave.donor for wave in waves)])
    asks = np.concatenate((pool.recent_asks, pool.resting_asks))
    after = np.concatenate((pool.recent_asks + np.isin(pool.donor, chosen), pool.resting_asks))
    return gini(asks), gini(after)
