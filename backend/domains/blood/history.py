"""What is known about each donor as of any moment: an immutable index over donations, asks, answers and outcomes.

Events lie sorted by donor and time, and each event carries the donor's running sums up to and including itself. A
question (donor, as of) is then one binary search within that donor's events and a few look-ups; nothing at or after
the moment is ever read.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from backend.domains.blood.horizons import DAY, HOUR
from backend.domains.blood.records import Answer, Codes, Contacts, Donations, Donors, Floats, Ints, Outcome, Rows

HALF_LIFE: Final = 365.0 * DAY
"""After this many seconds an event counts half in a decayed sum."""

COMMITMENTS: Final = (Outcome.DONATED, Outcome.NO_SHOW, Outcome.LATE_CANCEL)
"""Ends of an accepted commitment that say how reliable a donor is: kept, broken without a word, cancelled late."""


@dataclass(frozen=True, slots=True)
class EventIndex:
    """Events of one type, grouped by donor and ordered by time within each donor."""

    start: Ints  # (donors + 1,): donor d's events are start[d] … start[d + 1] - 1
    at: Floats  # (events,)
    decayed: NDArray[np.float64]  # (events, sums): the decayed sums just after each event
    longest: int  # the most events of one donor

    @classmethod
    def build(cls, *, donors: int, donor: Rows, at: Floats, weights: tuple[Floats, ...] = ()) -> Self:
        """Sort the events that happened (`at` is not NaN) and sum each of `weights`, halved every HALF_LIFE."""
        happened = np.flatnonzero(~np.isnan(at))
        order = happened[_by_donor_and_time(donor[happened], at[happened])]
        count = np.bincount(donor[order], minlength=donors)
        start = np.concatenate(([0], np.cumsum(count)))
        sums = np.stack([weight[order] for weight in weights], axis=1) if weights else np.empty((len(order), 0))
        return cls(start, at[order], _decayed_sums(start, at[order], sums), int(count.max(initial=0)))

    def position(self, donor: Rows, as_of: Floats) -> Ints:
        """Return for each question (n,) the index of the donor's first event at or after `as_of`."""
        first, after = self.start[donor], self.start[donor + 1]
        if not len(self.at):
            return after
        # Most questions are about now, when all of a donor's events are over: one look settles them.
        undecided = np.flatnonzero((first < after) & (self.at[after - 1] >= as_of))
        position, end, moment = first[undecided], after[undecided], as_of[undecided]
        for power in reversed(range(self.longest.bit_length())):
            reached = position + (1 << power)
            earlier = self.at[np.minimum(reached, end) - 1] < moment
            position = np.where(earlier & (reached <= end), reached, position)
        after[undecided] = position
        return after

    def count(self, donor: Rows, position: Ints) -> Ints:
        """Return how many of the donor's events come before `position` (n,)."""
        return np.asarray(position - self.start[donor])

    def last(self, donor: Rows, position: Ints) -> Floats:
        """Return when the donor's last event before `position` (n,) was, NaN without any."""
        if not len(self.at):
            return np.full(len(position), np.nan)
        return np.where(position > self.start[donor], self.at[np.maximum(position - 1, 0)], np.nan)

    def sums(self, donor: Rows, position: Ints, as_of: Floats) -> NDArray[np.float64]:
        """Return the decayed sums (n, sums) of the donor's events before `position`, decayed until `as_of`."""
        if not len(self.at):
            return np.zeros((len(position), self.decayed.shape[1]))
        previous = np.maximum(position - 1, 0)
        fading = np.exp2((self.at[previous] - as_of) / HALF_LIFE)
        fading[position == self.start[donor]] = 0.0
        return np.asarray(self.decayed[previous] * fading[:, None])


def _by_donor_and_time(donor: Rows, at: Floats) -> Ints:
    """Return the order (events,) by donor, then time: what `np.lexsort` gives, in a third of its time."""
    by_time = np.argsort(at, kind="stable")  # ties in the order given, whatever else is there
    # One integer holds the donor and the place in time; plain integers sort fastest.
    keys = np.sort((donor[by_time].astype(np.int64) << 32) | np.arange(len(at)))
    return np.asarray(by_time[keys & 0xFFFFFFFF])


def _decayed_sums(start: Ints, at: Floats, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Run sum(k) = sum(k - 1) / 2 ** (gap / HALF_LIFE) + weight(k) along all donors at once, k-th events together.

    Works in place on `sums` (events, sums), which come as the weights. A recursion per donor and not a difference of
    global sums, so that no other donor or later event changes a digit.
    """
    if not sums.shape[1]:
        return sums
    active = start[:-1][np.diff(start) > 1] + 1
    ends = start[1:][np.diff(start) > 1]
    while len(active):
        fading = np.exp2((at[active - 1] - at[active]) / HALF_LIFE)
        sums[active] += sums[active - 1] * fading[:, None]
        active = active + 1
        going_on = active < ends
        active, ends = active[going_on], ends[going_on]
    return sums


@dataclass(frozen=True, slots=True)
class History:
    """The donors and everything that happened to them, ready for questions as of any moment."""

    donors: Donors
    donations: EventIndex
    asks: EventIndex  # sums: asks
    answers: EventIndex  # sums: answers, acceptances, hours taken
    outcomes: EventIndex  # sums: commitments kept, not shown up for, cancelled late

    @classmethod
    def build(cls, *, donors: Donors, donations: Donations, contacts: Contacts) -> Self:
        """Index the records: seconds for ten million events. Rebuild to take in new ones."""
        n = len(donors)
        answered = contacts.answer != Answer.NONE
        hours = np.where(answered, (contacts.answered_at - contacts.asked_at) / HOUR, 0.0)
        return cls(
            donors=donors,
            donations=EventIndex.build(donors=n, donor=donations.donor, at=donations.at),
            asks=EventIndex.build(
                donors=n, donor=contacts.donor, at=contacts.asked_at, weights=(np.ones(len(contacts)),)
            ),
            answers=EventIndex.build(
                donors=n,
                donor=contacts.donor,
                at=np.where(answered, contacts.answered_at, np.nan),
                weights=(answered.astype(np.float64), (contacts.answer == Answer.ACCEPTED).astype(np.float64), hours),
            ),
            outcomes=index_commitments(
                donors=n, donor=contacts.donor, outcome=contacts.outcome, ended_at=contacts.ended_at
            ),
        )


def index_commitments(*, donors: int, donor: Rows, outcome: Codes, ended_at: Floats) -> EventIndex:
    """Index how accepted commitments (n,) ended; sums: kept, not shown up for, cancelled late.

    Only these three count. A medical deferral is the blood centre's decision, with the donor at the door or on the
    telephone, and a request that was called off binds nobody: neither speaks for or against a donor.
    """
    counted = [outcome == kind for kind in COMMITMENTS]
    return EventIndex.build(
        donors=donors,
        donor=donor,
        at=np.where(np.logical_or.reduce(counted), ended_at, np.nan),
        weights=tuple(flags.astype(np.float64) for flags in counted),
    )
