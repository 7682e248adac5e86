"""Asks of a simulated world with what became of them, cut into slices by time and by donor."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Self

import numpy as np

from backend.domains.blood.features import Asks
from backend.domains.blood.history import History
from backend.domains.blood.horizons import DAY, HOUR, IST_SECONDS, hours_until_deadline
from backend.domains.blood.records import Answer, Contacts, Flags, Floats, Ints, Outcome
from backend.domains.blood.simulate import World

PURGE_DAYS = 8.0
"""Longest a label needs (six days to the deadline, and to be recorded): a slice's last asks this near its end go."""

HELD_OUT_SHARE = 0.25
"""Donors seen in the test slice only, and the only ones seen there."""

CUTS = {"train": (0.10, 0.50), "validation": (0.50, 0.58), "calibration": (0.58, 0.88), "test": (0.88, 1.0)}
"""Slices as shares of the time with requests; the first tenth fills the history, calibration sees most of a year."""

KEPT = (Outcome.DONATED, Outcome.DEFERRED)
BROKEN = (Outcome.NO_SHOW, Outcome.LATE_CANCEL)


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of the contacts (n,) in one slice and its first and last moment."""

    name: str
    rows: Ints
    since: float
    until: float

    def dates(self) -> tuple[str, str]:
        """Return the local dates of the first and last moment."""
        return _local_date(self.since), _local_date(self.until)

    def only(self, rows: Flags) -> Self:
        """Return the slice restricted to the contacts flagged in `rows` (contacts,)."""
        return type(self)(self.name, self.rows[rows[self.rows]], self.since, self.until)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Every ask of a world with its labels (contacts,); a label is valid only where the flags of its slice allow it."""

    world: World
    history: History
    asks: Asks
    hours: Floats  # from the ask to the deadline
    accepted: Flags
    answer_hours: Floats  # NaN: no answer
    settled: Flags  # accepted and known to have been kept or broken
    kept: Flags
    donated_in_time: Flags
    slices: dict[str, Slice]

    @classmethod
    def build(cls, world: World, *, seed: int) -> Self:
        """Derive labels and slices, without the asks of cancelled requests: their end says nothing of the donor."""
        contacts, requests = world.contacts, world.requests
        history = History.build(donors=world.donors, donations=world.donations, contacts=contacts)
        asks = Asks.of(contacts, donors=world.donors, requests=requests)
        hours = hours_until_deadline(urgency=asks.urgency, hours_until_needed=asks.hours_until_needed)
        accepted = contacts.answer == Answer.ACCEPTED
        kept = np.isin(contacts.outcome, KEPT)
        usable = np.isnan(requests.cancelled_at[np.searchsorted(requests.id, contacts.request)])
        return cls(
            world=world,
            history=history,
            asks=asks,
            hours=hours,
            accepted=accepted,
            answer_hours=(contacts.answered_at - contacts.asked_at) / HOUR,
            settled=accepted & (kept | np.isin(contacts.outcome, BROKEN)),
            kept=kept,
            donated_in_time=accepted & _gave_before(history, contacts, contacts.asked_at + HOUR * hours),
            slices=_slices(world, usable, seed=seed),
        )

    def asks_at(self, rows: Ints) -> Asks:
        """Return the asks (n,) at contact rows."""
        asks = self.asks
        return Asks(
            donor=asks.donor[rows],
            as_of=asks.as_of[rows],
            distance_km=asks.distance_km[rows],
            urgency=asks.urgency[rows],
            units=asks.units[rows],
            hours_until_needed=asks.hours_until_needed[rows],
            group_match=asks.group_match[rows],
        )


def _local_date(at: float) -> str:
    return datetime.fromtimestamp(at, timezone(timedelta(seconds=IST_SECONDS))).date().isoformat()


def _gave_before(history: History, contacts: Contacts, deadline: Floats) -> Flags:
    """Return whether the donor gave between the ask and its deadline, on record even where the outcome got lost."""
    donor = contacts.donor
    before = history.donations.position(donor, contacts.asked_at)
    return np.asarray(history.donations.position(donor, np.nextafter(deadline, np.inf)) > before)


def _slices(world: World, usable: Flags, *, seed: int) -> dict[str, Slice]:
    asked_at, donors = world.contacts.asked_at, len(world.donors)
    held_out = np.zeros(donors, dtype=np.bool_)
    held_out[np.random.default_rng(seed).permutation(donors)[: round(HELD_OUT_SHARE * donors)]] = True
    for_test = held_out[world.contacts.donor]
    begin, end = float(world.requests.created_at.min()), float(world.requests.created_at.max())
    slices = {}
    for name, (start, stop) in CUTS.items():
        since, until = begin + start * (end - begin), begin + stop * (end - begin)
        inside = usable & (since <= asked_at) & (asked_at < until - PURGE_DAYS * DAY)
        rows = np.flatnonzero(inside & (for_test if name == "test" else ~for_test))
        slices[name] = Slice(name, rows, since, until)
    return slices
