"""Plans the waves of one request, again and again as answers come in; nothing is asked of anybody here.

Each call looks at what is known at one moment, says whom to ask at once, and sketches what would follow if the answers
were as expected. Only the first wave is to be sent, at its time, and only if it is still the first wave of a plan made
then: the later ones will be planned anew with the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from backend.domains.blood.horizons import HOUR
from backend.domains.blood.matching import CRITICAL, rank
from backend.domains.blood.outreach.exposure import gini
from backend.domains.blood.outreach.outlook import Asked, Outlook, outlook
from backend.domains.blood.outreach.pace import PACE, next_allowed, radii, searched_as
from backend.domains.blood.outreach.size import POOL_LIMIT
from backend.domains.blood.outreach.timing import answer_window, worth_of_delay
from backend.domains.blood.outreach.wave import Choice, Ranked, choose, level_to_reach
from backend.domains.blood.records import Floats, Ints

TARGET: Final = 0.95
"""The probability of enough donations at which a request stops asking."""

LEAST_CHANCE: Final = 0.02
"""Nobody is asked below this probability: at fifty alerts a donation, goodwill is worth more."""

MOST_WAVES: Final = 12
"""The most waves a plan sketches."""


class Reason(StrEnum):
    """Why nobody is to be asked at the moment of the plan."""

    STOCK_COVERS = "stock_covers"
    """The stock, or donations made, cover the need."""
    ENOUGH_LIKELY = "enough_likely"
    """Those asked reach the target."""
    AWAITING_ANSWERS = "awaiting_answers"
    """Waiting for answers costs less than asking more now."""
    QUIET_HOURS = "quiet_hours"
    """The wave waits for the morning."""
    NOBODY_LEFT = "nobody_left"
    """No donor within reach may be asked and has a chance."""
    TOO_LATE = "too_late"
    """Nobody asked from now on could donate in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a request needs."""

    units: int
    usable_stock: int  # units that may be issued for it, those its own donors gave not counted
    donated: int  # units its own donors gave
    urgency: int  # 1 routine … 4 critical, as stated
    deadline: float  # epoch seconds; donations end before it
    request_sd: float  # of the luck that donors asked for it share, log-odds

    @property
    def wanted(self) -> int:
        """Units still wanted from donors."""
        return max(self.units - self.usable_stock - self.donated, 0)


@dataclass(frozen=True, slots=True)
class Prospects:
    """Donors who may be asked at a moment (n,): eligible, fit for the request, free, and not cooling down."""

    donor: Ints
    p: Floats  # calibrated P(donates in time if asked then), `timing.chance_in_time`
    hazards: Floats  # (n, bins) of the time to an answer
    distance_km: Floats
    scarcity: Floats  # rules.substitution_costs
    recent_asks: Ints  # in 30 days
    resting_asks: Ints  # (r,), the same of the donors left out because they are cooling down


Score = Callable[[float, float], Prospects]
"""Takes a radius in km and a moment; returns who may be asked then, as far as it is known now."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Donors to ask together (n,), best first, and what comes of it."""

    at: float
    donor: Ints
    p: Floats
    radius_km: float
    searched_as: int
    probability: float  # of enough donations once they are asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do for a request; `waves` is empty if there is a `reason` to ask nobody now or later."""

    waves: tuple[Wave, ...]
    reason: Reason | None  # None: the first wave is to be sent now
    look_again_at: float | None  # None: looking again changes nothing before somebody answers
    probability: float  # of enough donations if nobody else is asked
    reachable: float  # if all who may be asked are
    expected_donations: float  # in time, from now on, with all waves
    expected_overshoot: float
    exposure_before: float  # Gini coefficient of the asks in 30 days of the eligible donors
    exposure_after: float

    @property
    def escalate(self) -> bool:
        """Whether donors alone cannot be relied on: the request needs another source."""
        return self.reachable < TARGET


def plan(need: Need, asked: Asked, *, now: float, edges: Floats, score: Score, most_waves: int = MOST_WAVES) -> Plan:
    """Plan the waves of a request from epoch second `now` on; hazards are of bins between `edges` (bins + 1,) hours.

    `asked` are all who were asked for this request; who donated counts in `need.donated` as well.
    """
    if need.wanted == 0:
        return _nothing(Reason.STOCK_COVERS, 1.0)
    known = outlook(asked, units=need.wanted, deadline=need.deadline, now=now, edges=edges, sd=need.request_sd)
    if known.probability >= TARGET:
        return _nothing(Reason.ENOUGH_LIKELY, known.probability, known)
    search = _Search(need, edges, score, known, asked.donor, waves=len(np.unique(asked.asked_at)))
    at, waves, first_look = now, [], None
    while len(waves) < most_waves and search.outlook.probability < TARGET:
        at = next_allowed(at, urgency=need.urgency)
        look = search.look(at)
        if look is None:
            break
        first_look = first_look or look
        if len(look.wave.donor):
            waves.append(look.wave)
        if look.next_at >= need.deadline:
            break
        at = look.next_at
    raise NotImplementedError
