"""Whom the service asked in the past: random compatible donors nearby who looked eligible, and a few from far away."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from backend.domains.blood.geography import distance_km
from backend.domains.blood.horizons import DAY, HOUR, hours_until_deadline
from backend.domains.blood.records import BLOOD_GROUPS, Component, Donors, Flags, Floats, Ints, Requests, Rows
from backend.domains.blood.rules import compatible_groups
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.places import Hospitals
from backend.domains.blood.simulate.population import YEAR, Traits


@dataclass(slots=True)
class Diary:
    """What the service knows and donors remember at one moment of the simulation; changes as time passes. (donors,)."""

    last_donation: Floats
    last_asked: Floats
    recent_asks: Floats  # decayed over 30 days, as of last_asked
    busy_until: Floats
    deferred_until: Floats
    broke_last: Flags
    deferred_last: Flags

    @classmethod
    def blank(cls, donors: int) -> Self:
        """Return the diary before anything happened."""
        never = np.full(donors, -np.inf)
        no = np.zeros(donors, dtype=np.bool_)
        return cls(np.full(donors, np.nan), never, np.zeros(donors), never.copy(), never.copy(), no, no.copy())


@dataclass(frozen=True, slots=True)
class Pool:
    """Donors sorted by blood group: `rows[bounds[g]:bounds[g + 1]]` have group g."""

    rows: Rows
    bounds: Ints

    @classmethod
    def of(cls, rows: Rows, donors: Donors) -> Self:
        """Sort donor `rows` by their group."""
        group = donors.blood_group[rows]
        order = np.argsort(group, kind="stable")
        return cls(rows[order], np.searchsorted(group[order], np.arange(len(BLOOD_GROUPS) + 1)))

    def draw(self, rng: np.random.Generator, groups: Ints, count: int) -> Rows:
        """Draw at most `count` different donors of `groups` at random."""
        sizes = self.bounds[groups + 1] - self.bounds[groups]
        ends = np.cumsum(sizes)
        total = int(ends[-1])
        if total <= 4 * count:
            place = rng.permutation(total)[:count]
        else:
            place, first = np.unique(rng.integers(0, total, size=count), return_index=True)
            place = place[np.argsort(first)]
        slot = np.searchsorted(ends, place, side="right")
        return np.asarray(self.rows[self.bounds[groups[slot]] + place - (ends[slot] - sizes[slot])])


class NotificationPolicy:
    """Chooses donors for each request."""

    def __init__(self, *, donors: Donors, traits: Traits, hospitals: Hospitals, parameters: WorldParameters) -> None:
        self.donors, self.traits, self.hospitals, self.parameters = donors, traits, hospitals, parameters
        everyone = np.arange(len(donors), dtype=np.int32)
        self.everywhere = Pool.of(everyone, donors)
        self.nearby = [
            Pool.of(everyone[self._distance(everyone, h) <= parameters.radius_km], donors)
            for h in range(len(hospitals))
        ]

    def choose(
        self, rng: np.random.Generator, *, requests: Requests, row: int, hospital: int, diary: Diary
    ) -> tuple[Rows, Floats, Floats]:
        """Return whom to ask for request `row`, when, and how far away they are; notes the asks in the diary."""
        p = self.parameters
        wanted = min(round(p.asks_per_unit * int(requests.units[row])), p.asks_most)
        component = Component(int(requests.component[row]))
        groups = np.flatnonzero(compatible_groups(int(requests.blood_group[row]), component))
        # Three times as many as wanted are drawn, because some will turn out to be resting, busy or deferred.
        near = self._willing_to_be_asked(self.nearby[hospital].draw(rng, groups, 3 * wanted), requests, row, diary)
        near = near[: wanted - int(rng.binomial(wanted, p.far_share))]
        far = self.everywhere.draw(rng, groups, 3 * wanted)
        far = far[self._distance(far, hospital) <= p.far_km]
        far = self._willing_to_be_asked(far, requests, row, diary)[: round(wanted * p.far_share) + 1]
        donor = np.concatenate((near, far[~np.isin(far, near)]))[:wanted]
        created = float(requests.created_at[row])
        delay = np.minimum(
            rng.exponential(p.ask_delay_hours * HOUR, size=len(donor)), 0.4 * self._seconds(requests, row)
        )
        asked_at = created + delay
        heard = ~(asked_at >= requests.cancelled_at[row])
        donor, asked_at = donor[heard], asked_at[heard]
        fading = np.exp((diary.last_asked[donor] - asked_at) / (30 * DAY))
        diary.recent_asks[donor] = diary.recent_asks[donor] * fading + 1.0
        diary.last_asked[donor] = asked_at
        return donor, asked_at, self._distance(donor, hospital)

    def _willing_to_be_asked(self, rows: Rows, requests: Requests, row: int, diary: Diary) -> Rows:
        """Keep the donors who consented and look eligible when the request is made."""
        now = float(requests.created_at[row])
        p, donors = self.parameters, self.donors
        rest = DAY * (p.rest_days_critical if requests.urgency[row] == 4 else p.rest_days)
        age = (now - donors.born_at[rows]) / YEAR
        resting = now - diary.last_donation[rows] < self.traits.interval[rows]
        fit = donors.consented[rows] & (donors.registered_at[rows] < now) & (age >= 18) & (age < 65)
        fit &= ~resting & ~(donors.weight_kg[rows] < 45.0)
        fit &= (diary.busy_until[rows] < now) & (diary.deferred_until[rows] < now)
        return rows[fit & (diary.last_asked[rows] < now - rest)]

    def _distance(self, rows: Rows, hospital: int) -> Floats:
        place = self.hospitals.latitude[hospital], self.hospitals.longitude[hospital]
        return distance_km(self.donors.latitude[rows], self.donors.longitude[rows], *map(float, place))

    @staticmethod
    def _seconds(requests: Requests, row: int) -> float:
        stated = (requests.needed_by[row : row + 1] - requests.created_at[row : row + 1]) / HOUR
        hours = hours_until_deadline(urgency=requests.urgency[row : row + 1], hours_until_needed=stated)
        return HOUR * float(hours[0])
