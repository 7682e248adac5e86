"""Let time pass: camps, requests, asks and what donors make of them, day by day."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from backend.domains.blood.horizons import DAY, HOUR, hours_until_deadline
from backend.domains.blood.records import (
    Answer,
    Component,
    Contacts,
    Donations,
    Donors,
    Flags,
    Floats,
    Floats32,
    Ints,
    Outcome,
    Requests,
    Rows,
)
from backend.domains.blood.simulate.behaviour import Chances, Deeds, Situation, act, chances
from backend.domains.blood.simulate.demand import draw_requests
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.places import Hospitals, hospitals
from backend.domains.blood.simulate.policy import Diary, NotificationPolicy
from backend.domains.blood.simulate.population import YEAR, Traits, draw_donors, draw_traits

Progress = Callable[[float, str], None]
Table = TypeVar("Table", Donations, Contacts, Chances)


@dataclass(frozen=True, slots=True)
class Truth:
    """What an oracle that knows every latent trait would have said at each ask; a row a contact. Never a feature."""

    accept: Floats32
    keep: Floats32  # given acceptance
    donated_in_time: Floats32
    answered: Floats32  # (contacts, 4), within behaviour.ANSWER_HOURS; NaN past the deadline


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is on record when the simulation stops, and the truth behind it."""

    donors: Donors
    donations: Donations
    requests: Requests
    contacts: Contacts
    hospitals: Hospitals
    truth: Truth

    def fingerprint(self) -> str:
        """Return the SHA-256 of all records, truth excepted."""
        state = hashlib.sha256()
        for table in (self.donors, self.donations, self.requests, self.contacts):
            for field in fields(table):
                state.update(field.name.encode())
                state.update(np.ascontiguousarray(getattr(table, field.name)).tobytes())
        return state.hexdigest()


def _quiet(_fraction: float, _stage: str) -> None:
    """Tell nobody."""


def simulate(
    *,
    donors: int,
    seed: int,
    end: float,
    years: float = 2.0,
    parameters: WorldParameters | None = None,
    progress: Progress = _quiet,
) -> World:
    """Simulate `donors` people until the epoch second `end`, requests in the last `years`; equal for equal seeds."""
    return live(donors=donors, seed=seed, end=end, years=years, parameters=parameters, progress=progress).world()


def live(
    *,
    donors: int,
    seed: int,
    end: float,
    years: float = 2.0,
    parameters: WorldParameters | None = None,
    progress: Progress = _quiet,
) -> "Life":
    """Return the simulation of `simulate` as it stands at `end`, latent traits and unfinished business included."""
    p = parameters or WorldParameters()
    rng = np.random.default_rng(seed)
    people = draw_donors(rng, count=donors, end=end, parameters=p)
    traits = draw_traits(rng, donors=people, parameters=p)
    since = end - YEAR * years
    places = hospitals()
    requests, hospital = draw_requests(rng, hospitals=places, donors=donors, since=since, until=end, parameters=p)
    life = Life(rng=rng, donors=people, traits=traits, places=places, requests=requests, parameters=p, end=end)
    week = 7 * DAY
    for start in np.arange(float(people.registered_at.min()), since - week, week):
        life.camps(float(start), week)
    progress(0.1, "years before the first request")
    policy = NotificationPolicy(donors=people, traits=traits, hospitals=places, parameters=p)
    days = np.arange(since, end, DAY)
    bounds = np.searchsorted(requests.created_at, np.append(days, end))
    for number, day in enumerate(days):
        first, last = int(bounds[number]), int(bounds[number + 1])
        life.requests_of_day(policy, [(row, int(hospital[row])) for row in range(first, last)])
        life.camps(float(day), DAY)
        progress(0.1 + 0.9 * (number + 1) / len(days), "days with requests")
    return life


class Life:
    """The running simulation: the donors' diary and the events so far."""

    def __init__(
        self,
        *,
        rng: np.random.Generator,
        donors: Donors,
        traits: Traits,
        places: Hospitals,
        requests: Requests,
        parameters: WorldParameters,
        end: float,
    ) -> None:
        self.rng, self.donors, self.traits, self.requests = rng, donors, traits, requests
        self.places = places
        self.parameters, self.end = parameters, end
        self.diary = Diary.blank(len(donors))
        self.shocks = parameters.request_sd * rng.standard_normal(len(requests))
        self.donations: list[Donations] = []
        self.contacts: list[Contacts] = []
        self.truths: list[Chances] = []

    def camps(self, start: float, span: float) -> None:
        """Let donors give without a request in [start, start + span)."""
        chance = -np.expm1(-self.traits.camp_rate * span / YEAR)
        donor = np.flatnonzero(self.rng.random(len(self.donors)) < chance).astype(np.int32)
        # Camps open from 9 to 17 h; `start` is not a local midnight, so the hour counts from it.
        day = self.rng.integers(0, round(span / DAY), size=len(donor))
        at: Floats = start + DAY * day + HOUR * self.rng.uniform(9.0, 17.0, size=len(donor))
        diary, traits = self.diary, self.traits
        fails = self.rng.random(len(donor)) < traits.deferral[donor]
        able = (self.donors.registered_at[donor] < at) & (traits.lapsed_at[donor] > at)
        able &= ~(at - diary.last_donation[donor] < traits.interval[donor])
        able &= (diary.busy_until[donor] < at) & (diary.deferred_until[donor] < at)
        # Somebody asked today decides about that first.
        able &= diary.last_asked[donor] < start
        turned_away = donor[able & fails]
        diary.deferred_until[turned_away] = at[able & fails] + DAY * self.parameters.deferral_days
        diary.deferred_last[turned_away] = True
        donor, at = donor[able & ~fails], at[able & ~fails]
        diary.last_donation[donor] = at
        diary.deferred_last[donor] = False
        self.donations.append(Donations(donor, at, np.full(len(donor), Component.RED_CELLS, dtype=np.int8)))

    def requests_of_day(self, policy: NotificationPolicy, rows: list[tuple[int, int]]) -> None:
        """Ask donors for each request (row, hospital) of a day and let them act."""
        chosen = [
            (row, *policy.choose(self.rng, requests=self.requests, row=row, hospital=hospital, diary=self.diary))
            for row, hospital in rows
        ]
        if not chosen:
            return
        request = np.concatenate([np.full(len(donor), row) for row, donor, _, _ in chosen])
        donor, asked_at, distance = (np.concatenate(part) for part in list(zip(*chosen, strict=True))[1:])
        situation = self.situation(request, donor, asked_at, distance)
        truth = chances(situation, self.traits, self.parameters, end=self.end)
        deeds = act(self.rng, situation, truth, self.traits, self.parameters)
        deeds = self.cut_short(deeds, self.requests.cancelled_at[request])
        self.remember(situation.donor, deeds)
        gave = deeds.outcome == Outcome.DONATED
        self.donations.append(Donations(donor[gave], deeds.ended_at[gave], self.requests.component[request[gave]]))
        self.contacts.append(self._record(request, situation, deeds))
        self.truths.append(truth)

    def situation(self, request: Ints, donor: Rows, asked_at: Floats, distance: Floats) -> Situation:
        """Return what rules the answers (n,) of donors who have been asked, as the diary has it."""
        diary, requests = self.diary, self.requests
        stated = (requests.needed_by[request] - asked_at) / HOUR
        return Situation(
            donor=donor,
            asked_at=asked_at,
            distance_km=distance,
            urgency=requests.urgency[request],
            hours=hours_until_deadline(urgency=requests.urgency[request], hours_until_needed=stated),
            own_group=requests.blood_group[request] == self.donors.blood_group[donor],
            shock=self.shocks[request],
            age_years=(asked_at - self.donors.born_at[donor]) / YEAR,
            since_donation=asked_at - diary.last_donation[donor],
            recent_asks=diary.recent_asks[donor] - 1.0,
            broke_last=diary.broke_last[donor],
            deferred_last=diary.deferred_last[donor],
        )

    @staticmethod
    def cut_short(deeds: Deeds, cancelled_at: Floats) -> Deeds:
        """Undo what would have happened after the request was cancelled."""
        unheard = deeds.answered_at >= cancelled_at
        called_off = ~unheard & (deeds.answer == Answer.ACCEPTED) & (deeds.ended_at >= cancelled_at)
        gone = unheard | called_off
        return Deeds(
            answer=np.where(unheard, Answer.NONE, deeds.answer).astype(np.int8),
            answered_at=np.where(unheard, np.nan, deeds.answered_at),
            arrived_at=np.where(gone, np.nan, deeds.arrived_at),
            outcome=np.select(
                [unheard, called_off], [Outcome.PENDING, Outcome.REQUEST_CANCELLED], deeds.outcome
            ).astype(np.int8),
            ended_at=np.select([unheard, called_off], [np.nan, cancelled_at], deeds.ended_at),
        )

    def remember(self, donor: Rows, deeds: Deeds) -> None:
        """Enter what donors (n,) did into the diary."""
        diary, outcome = self.diary, deeds.outcome
        ended = ~np.isnan(deeds.ended_at)
        diary.busy_until[donor[ended]] = deeds.ended_at[ended]
        gave, failed = outcome == Outcome.DONATED, outcome == Outcome.DEFERRED
        diary.last_donation[donor[gave]] = deeds.ended_at[gave]
        diary.deferred_until[donor[failed]] = deeds.ended_at[failed] + DAY * self.parameters.deferral_days
        diary.deferred_last[donor[gave | failed]] = failed[gave | failed]
        settled = gave | failed | (outcome == Outcome.NO_SHOW) | (outcome == Outcome.LATE_CANCEL)
        diary.broke_last[donor[settled]] = outcome[settled] == Outcome.NO_SHOW

    def _record(self, request: Ints, s: Situation, deeds: Deeds) -> Contacts:
        """Return what reaches the records: some outcomes are never entered."""
        lost = self.rng.random(len(s.donor)) < self.parameters.outcome_lost_share
        return Contacts(
            donor=s.donor,
            request=self.requests.id[request],
            asked_at=s.asked_at,
            distance_km=s.distance_km.astype(np.float32),
            answer=deeds.answer,
            answered_at=deeds.answered_at,
            arrived_at=np.where(lost, np.nan, deeds.arrived_at),
            outcome=np.where(lost, Outcome.PENDING, deeds.outcome).astype(np.int8),
            ended_at=np.where(lost, np.nan, deeds.ended_at),
        )

    def world(self) -> World:
        """Return the records as they stand at the end: what would come later has not happened."""
        contacts = joined(Contacts, self.contacts)
        truth = joined(Chances, self.truths)
        asked = contacts.asked_at < self.end
        contacts = _chosen(contacts, asked)
        unanswered, open_, away = (
            ~(at < self.end) for at in (contacts.answered_at, contacts.ended_at, contacts.arrived_at)
        )
        donations = joined(Donations, self.donations)
        deferred = self.diary.deferred_until
        known = (deferred > self.end) & (deferred - DAY * self.parameters.deferral_days < self.end)
        return World(
            donors=replace(self.donors, deferred_until=np.where(known, deferred, np.nan)),
            donations=_chosen(donations, donations.at < self.end),
            requests=self.requests,
            contacts=replace(
                contacts,
                answer=np.where(unanswered, Answer.NONE, contacts.answer).astype(np.int8),
                answered_at=np.where(unanswered, np.nan, contacts.answered_at),
                arrived_at=np.where(away, np.nan, contacts.arrived_at),
                outcome=np.where(open_, Outcome.PENDING, contacts.outcome).astype(np.int8),
                ended_at=np.where(open_, np.nan, contacts.ended_at),
            ),
            hospitals=self.places,
            truth=Truth(
                accept=truth.accept[asked].astype(np.float32),
                keep=truth.keep[asked].astype(np.float32),
                donated_in_time=truth.donated_in_time[asked].astype(np.float32),
                answered=truth.answered[asked].astype(np.float32),
            ),
        )


def joined(table: type[Table], parts: list[Table]) -> Table:
    """Return the rows of all `parts`, one after the other."""
    return table(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(table)})


def _chosen(table: Table, rows: Flags) -> Table:
    return type(table)(**{f.name: getattr(table, f.name)[rows] for f in fields(table)})
