"""What the models' scores become when time matters: how long an alert leaves for an answer, and what that is worth.

The hazards are those of `response`: the chance of an answer in each bin of time after the ask, if none came before.
"""

from typing import Final

import numpy as np

from backend.domains.blood.horizons import HORIZON_HOURS
from backend.domains.blood.records import Floats
from backend.domains.blood.response import answered_within

TRAVEL_KMH: Final = 30.0
"""Great-circle kilometres an hour on Kerala's roads, the assumption of the simulated world as well."""

DONATION_HOURS: Final = 0.75
"""From arrival to the end of a whole-blood donation: registration, screening, donation; an assumption."""

LEARNT_SHARE: Final = 0.5
"""Of the urgency's horizon: with less time than this the model has seen nearly no ask, and says what it says there."""

LEAST_KEPT: Final = 0.05
"""A donor who said yes is never written off for two models that disagree."""


def answer_window(hours: Floats | float, distance_km: Floats) -> Floats:
    """Return the hours (n,) within which a yes still leads to a donation `hours` after the ask; 0 if none does."""
    return np.maximum(hours - distance_km / TRAVEL_KMH - DONATION_HOURS, 0.0)


def worth_of_delay(hazards: Floats, edges: Floats, *, before: Floats, after: Floats) -> Floats:
    """Return what is left (n,) of a chance when the answer window shrinks from `before` (n,) to `after` (n,) hours.

    It is the chance of an answer within the one over that within the other: when donors answer says nothing about
    whether they come.
    """
    whole = answered_within(hazards, edges, before)
    part = answered_within(hazards, edges, np.minimum(before, after))
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0.0)


def learnt_hours(hours: Floats, *, urgency: int) -> Floats:
    """Return the hours until needed (n,) with which the match model is to be asked, for asks that leave `hours`."""
    return np.maximum(hours, LEARNT_SHARE * HORIZON_HOURS[urgency])


def chance_in_time(
    p: Floats, *, hazards: Floats, edges: Floats, hours: Floats, distance_km: Floats, urgency: int
) -> Floats:
    """Return P(donates within `hours` (n,) of the ask) (n,) from the match model's `p` (n,) for `learnt_hours`.

    The model learnt from asks made soon after their requests. Where less time is left than it has seen, it hardly
    lowers its score, so it is asked about the least time it knows and the rest is `worth_of_delay`.
    """
    learnt = learnt_hours(hours, urgency=urgency)
    before, after = answer_window(learnt, distance_km), answer_window(hours, distance_km)
    return p * worth_of_delay(hazards, edges, before=before, after=after)


def chance_kept(p: Floats, accepts: Floats) -> Floats:
    """Return P(donates in time | accepted) (n,) from the match and the availability model's scores of the same asks.

    Both are calibrated, and a donation needs an acceptance, so it is their ratio; two models never agree exactly.
    """
    return np.clip(p / accepts, LEAST_KEPT, 1.0)
