"""A month of the simulated blood service in which requests overlap, for any way of choosing whom to ask.

Two ways are compared on the same people, requests and luck: a donor asked for one request draws the same numbers
whoever asks, because everyone near its hospital draws, each time, from a generator of that request's own.
"""

import heapq
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Protocol

import numpy as np

from backend.domains.blood.donor_index import Candidates, DonorIndex, RecentAsks
from backend.domains.blood.donor_pool import last_whole_blood
from backend.domains.blood.geography import distance_km
from backend.domains.blood.history import History
from backend.domains.blood.horizons import DAY, HORIZON_HOURS, HOUR
from backend.domains.blood.matching import CRITICAL, RADIUS_KM
from backend.domains.blood.outreach.pace import next_allowed
from backend.domains.blood.policies import INDIA
from backend.domains.blood.records import Answer, Component, Contacts, Donations, Floats, Ints, Outcome, Requests, Rows
from backend.domains.blood.simulate.behaviour import Deeds, act, chances
from backend.domains.blood.simulate.demand import draw_requests
from backend.domains.blood.simulate.world import Life, joined

DAYS = 30
LAST_DAYS = 7  # after the last request, so that each reaches its deadline
HISTORY_HOURS = 3.0  # the donors' records are indexed as often as this; who may be asked is always up to date
WIDEST_KM = max(RADIUS_KM.values())


class Policy(Protocol):
    """Chooses whom to ask for a request (row) at `month.now`; asks by `month.ask`."""

    def look(self, month: "Month", row: int) -> None:
        """Decide when donors may first be alerted, and whenever the policy wanted to look again."""

    def dropped_out(self, month: "Month", row: int) -> None:
        """Decide after a donor who had accepted was deferred, cancelled or did not come."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Donors asked together for one request: what is on record by now, and what they are going to do."""

    request: int
    record: Contacts
    deeds: Deeds
    lost: np.ndarray  # the outcome will not be entered


class Month:
    """What happens, in order of time; `now` is the epoch second of the current event."""

    def __init__(self, before: Life, *, seed: int) -> None:
        self.seed, self.start = seed, before.end
        self.requests, self.hospital = month_of_requests(before, seed=seed)
        self.life = Life(
            rng=np.random.default_rng([seed, 1]),  # of the requests' shocks
            donors=before.donors,
            traits=before.traits,
            places=before.places,
            requests=self.requests,
            parameters=before.parameters,
            end=before.end,
        )
        self.life.diary = deepcopy(before.diary)
        earlier = joined(Contacts, before.contacts)
        self.life.donations, self.life.contacts = [joined(Donations, before.donations)], [earlier]
        lately = np.flatnonzero(earlier.asked_at > self.start - 31 * DAY)
        critical = before.requests.urgency[earlier.request[lately] - 1] == CRITICAL
        self._asked = [(earlier.asked_at[lately[~critical]], earlier.donor[lately[~critical]])]
        self.near = [self._neighbours(hospital) for hospital in range(len(before.places))]
        self.batches: list[list[Batch]] = [[] for _ in range(len(self.requests))]
        self.gave_at: list[list[float]] = [[] for _ in range(len(self.requests))]
        self.closed = np.zeros(len(self.requests), dtype=np.bool_)
        self.now = self.start
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._history: tuple[float, History] | None = None
        self._index_donors()
        opens, closes = self.index.eligible[Component.RED_CELLS]
        self.eligible = self.index.rows[self.index.consented & (opens <= self.now) & (self.now < closes)]

    def play(self, policy: Policy) -> None:
        """Let the month pass."""
        self.policy = policy
        for day in range(DAYS + LAST_DAYS):
            self.at(self.start + day * DAY, partial(self._day, day))
        for row, created in enumerate(self.requests.created_at.tolist()):
            urgency = int(self.requests.urgency[row])
            self.at(next_allowed(created, urgency=urgency), partial(self._look, row))
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def alerts(self) -> Ints:
        """Return how many donors were alerted for each request."""
        return np.array([sum(len(batch.record) for batch in batches) for batches in self.batches])

    def asked(self) -> Ints:
        """Return how often each donor who could give at the start of the month was alerted."""
        donors = [batch.record.donor for batches in self.batches for batch in batches]
        return np.bincount(np.concatenate(donors), minlength=len(self.life.donors))[self.eligible]

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Let something happen at a moment; what falls on the same moment happens in the order given."""
        heapq.heappush(self._events, (moment, next(self._number), event))

    def look_at(self, moment: float, row: int) -> None:
        """Let the policy look at a request again."""
        self.at(moment, lambda: self._look(row))

    def need(self, row: int) -> tuple[int, int, float]:
        """Return the units, urgency and deadline of a request."""
        return (int(self.requests.units[row]), int(self.requests.urgency[row]), float(self.requests.needed_by[row]))

    def candidates(self, row: int, *, radius_km: float, at: float, cool_down: bool) -> Candidates:
        """Return who may be asked at `at` for a request, as far as the service knows now."""
        diary = self.life.diary
        found = self.index.candidates(
            latitude=float(self.requests.latitude[row]),
            longitude=float(self.requests.longitude[row]),
            radius_km=radius_km,
            blood_group=int(self.requests.blood_group[row]),
            component=Component(int(self.requests.component[row])),
            as_of=at,
            recent=self._recent_asks(at) if cool_down and self.requests.urgency[row] != CRITICAL else None,
        )
        gave_today = (diary.last_donation > self._indexed_at) & (diary.last_donation < self.now)
        unable = gave_today | (diary.busy_until > self.now) | (diary.deferred_until > at)
        free = ~unable[found.rows]
        return replace(found, rows=found.rows[free], distance_km=found.distance_km[free])

    def distance(self, row: int, donor: Rows) -> Floats:
        """Return how far donors (n,) are from the place of a request, in km."""
        donors, requests = self.life.donors, self.requests
        place = float(requests.latitude[row]), float(requests.longitude[row])
        return distance_km(donors.latitude[donor], donors.longitude[donor], *place)

    def history(self) -> History:
        """Return what is on record, at most `HISTORY_HOURS` old."""
        if self._history is None or self._history[0] < self.now - HISTORY_HOURS * HOUR:
            donations, contacts = joined(Donations, self.life.donations), joined(Contacts, self.life.contacts)
            self._history = self.now, History.build(donors=self.life.donors, donations=donations, contacts=contacts)
        return self._history[1]

    def ask(self, row: int, donor: Rows, distance: Floats) -> None:
        """Alert donors now."""
        diary, fading = self.life.diary, np.exp((self.life.diary.last_asked[donor] - self.now) / (30 * DAY))
        diary.recent_asks[donor] = diary.recent_asks[donor] * fading + 1.0
        diary.last_asked[donor] = self.now
        if self.requests.urgency[row] != CRITICAL:
            self._asked.append((np.full(len(donor), self.now), donor))
        batch = self._draw(row, donor, distance)
        self.life.contacts.append(batch.record)
        self.batches[row].append(batch)
        for place, (answered_at, ended_at) in enumerate(
            zip(batch.deeds.answered_at.tolist(), batch.deeds.ended_at.tolist(), strict=True)
        ):
            if not np.isnan(answered_at):
                self.at(answered_at, partial(self._answer, batch, place, ended_at))

    def _draw(self, row: int, donor: Rows, distance: Floats) -> Batch:
        everyone, away = self.near[int(self.hospital[row])]
        n, life = len(everyone), self.life
        rng = np.random.default_rng([self.seed, 2, row])
        situation = life.situation(np.full(n, row), everyone, np.full(n, self.now), away)
        deeds = act(
            rng, situation, chances(situation, life.traits, life.parameters, end=life.end), life.traits, life.parameters
        )
        deeds = life.cut_short(deeds, self.requests.cancelled_at[np.full(n, row)])
        lost = rng.random(n) < life.parameters.outcome_lost_share
        place = np.searchsorted(everyone, donor)
        m, never = len(donor), np.full(len(donor), np.nan)
        record = Contacts(
            donor=donor,
            request=self.requests.id[np.full(m, row)],
            asked_at=np.full(m, self.now),
            distance_km=distance.astype(np.float32),
            answer=np.full(m, Answer.NONE, dtype=np.int8),
            answered_at=never.copy(),
            arrived_at=never.copy(),
            outcome=np.full(m, Outcome.PENDING, dtype=np.int8),
            ended_at=never.copy(),
        )
        return Batch(row, record, _at(deeds, place), lost[place])

    def _answer(self, batch: Batch, place: int, ended_at: float) -> None:
        donor, accepts = int(batch.record.donor[place]), batch.deeds.answer[place] == Answer.ACCEPTED
        diary = self.life.diary
        if self.closed[batch.request]:
            return
        resting = self.now - diary.last_donation[donor] < self.life.traits.interval[donor]
        if accepts and (resting or diary.busy_until[donor] > self.now or diary.deferred_until[donor] > self.now):
            return  # gave, was deferred or promised another request since the ask: keeps silent
        batch.record.answer[place] = batch.deeds.answer[place]
        batch.record.answered_at[place] = self.now
        if accepts:
            diary.busy_until[donor] = ended_at
            self.at(ended_at, lambda: self._end(batch, place))

    def _end(self, batch: Batch, place: int) -> None:
        deeds, row = _at(batch.deeds, np.array([place])), batch.request
        donor = batch.record.donor[place : place + 1]
        self.life.remember(donor, deeds)
        if not batch.lost[place]:
            batch.record.arrived_at[place] = deeds.arrived_at[0]
            batch.record.outcome[place] = deeds.outcome[0]
            batch.record.ended_at[place] = self.now
        if deeds.outcome[0] == Outcome.DONATED:
            self.life.donations.append(Donations(donor, deeds.ended_at, self.requests.component[row : row + 1]))
            self.gave_at[row].append(self.now)
            units, _, deadline = self.need(row)
            self.closed[row] |= sum(at <= deadline for at in self.gave_at[row]) >= units
        elif deeds.outcome[0] != Outcome.REQUEST_CANCELLED:
            self.at(next_allowed(self.now, urgency=self.need(row)[1]), lambda: self._dropped_out(row))

    def _look(self, row: int) -> None:
        if not self._over(row):
            self.policy.look(self, row)

    def _dropped_out(self, row: int) -> None:
        if not self._over(row):
            self.policy.dropped_out(self, row)

    def _over(self, row: int) -> bool:
        """Whether a request is filled, cancelled, or past its deadline."""
        ends = np.fmin(self.requests.needed_by[row], self.requests.cancelled_at[row])
        return bool(self.closed[row]) or self.now >= ends

    def _day(self, day: int) -> None:
        self.life.rng = np.random.default_rng([self.seed, 3, day])
        self.life.camps(self.now, DAY)
        self._index_donors()

    def _index_donors(self) -> None:
        donations, deferred = joined(Donations, self.life.donations), self.life.diary.deferred_until
        past = donations.at < self.now
        given = Donations(donations.donor[past], donations.at[past], donations.component[past])
        donors = replace(self.life.donors, deferred_until=np.where(deferred > self.now, deferred, np.nan))
        self.index = DonorIndex.build(donors, last_whole_blood(given, len(donors)), policy=INDIA)
        self._indexed_at = self.now

    def _recent_asks(self, at: float) -> RecentAsks:
        asked_at = np.concatenate([moment for moment, _ in self._asked])
        donor = np.concatenate([donor for _, donor in self._asked])
        order = np.argsort(asked_at, kind="stable")
        order = order[asked_at[order] > at - 30 * DAY]
        last_at = np.full(len(self.life.donors), np.nan)
        last_at[donor[order]] = asked_at[order]
        return RecentAsks(last_at=last_at, in_30_days=np.bincount(donor[order], minlength=len(last_at)))

    def _neighbours(self, hospital: int) -> tuple[Rows, Floats]:
        donors, places = self.life.donors, self.life.places
        place = float(places.latitude[hospital]), float(places.longitude[hospital])
        away = distance_km(donors.latitude, donors.longitude, *place)
        rows = np.flatnonzero(away <= WIDEST_KM + 0.1).astype(np.int32)
        return rows, away[rows]


def month_of_requests(before: Life, *, seed: int) -> tuple[Requests, Ints]:
    """Return the requests of the 30 days after `before`, each with a stated deadline, and their hospitals."""
    requests, hospital = draw_requests(
        np.random.default_rng([seed, 0]),
        hospitals=before.places,
        donors=len(before.donors),
        since=before.end,
        until=before.end + DAYS * DAY,
        parameters=before.parameters,
    )
    horizon = np.array([HORIZON_HOURS[int(urgency)] for urgency in requests.urgency])
    usual = requests.created_at + HOUR * horizon
    return replace(requests, needed_by=np.where(np.isnan(requests.needed_by), usual, requests.needed_by)), hospital


def _at(deeds: Deeds, place: Ints) -> Deeds:
    return Deeds(**{name: getattr(deeds, name)[place] for name in Deeds.__slots__})
