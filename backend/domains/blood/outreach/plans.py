"""What a planner of outreach is told and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backend.domains.blood.outreach.pace import PACE
from backend.domains.blood.records import Floats, Ints

TARGET: Final = 0.95
"""The probability of enough donations at which a request stops asking."""


class Reason(StrEnum):
    """Why nobody is to be asked at the moment of the decision."""

    STOCK_COVERS = "stock_covers"
    """The usable stock covers the need."""
    ENOUGH_LIKELY = "enough_likely"
    """Those asked reach the target."""
    AWAITING_ANSWERS = "awaiting_answers"
    """Waiting for answers costs less than asking more now."""
    QUIET_HOURS = "quiet_hours"
    """The wave waits for the morning; with no further look, the morning is too late."""
    NOBODY_LEFT = "nobody_left"
    """No donor within reach who may be asked has a chance to donate in time."""
    TOO_LATE = "too_late"
    """Whoever was asked now could not donate in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a request needs."""

    units: int
    usable_stock: int  # units that may be issued for it, those its own donors gave not counted
    urgency: int  # 1 routine … 4 critical, as stated
    deadline: float  # epoch seconds by which donations must have ended
    request_sd: float  # in [0, 2], of the luck that donors asked for it share, log-odds

    def __post_init__(self) -> None:
        """Refuse a need that means nothing.

        Raises:
            ValueError: units below 1, a negative stock, an urgency that is none, or an sd outside [0, 2].
        """
        if self.units < 1 or self.usable_stock < 0 or self.urgency not in PACE or not 0.0 <= self.request_sd <= 2.0:
            raise ValueError("units must be at least 1, stock at least 0, urgency 1 to 4 and request_sd inside [0, 2]")

    @property
    def wanted(self) -> int:
        """Units wanted from donors."""
        return max(self.units - self.usable_stock, 0)


@dataclass(frozen=True, slots=True)
class Prospects:
    """Donors who may be asked at a moment (n,): eligible, fit for the request, free, and not cooling down."""

    donor: Ints
    p: Floats  # P(donates in time if asked then), calibrated; see `timing.chance_in_time`
    hazards: Floats  # (n, bins) of the time to an answer
    distance_km: Floats
    scarcity: Floats  # rules.substitution_costs
    recent_asks: Ints  # in 30 days
    resting_asks: Ints  # (r,), the same of those left out only because they are cooling down


Score = Callable[[float, float], Prospects]
"""Takes a radius in km and a moment in epoch seconds; returns who may be asked then, as far as is known now.

More than the best `size.POOL_LIMIT` by the match score need not come: hazards are costly, and no more are considered.
"""


@dataclass(frozen=True, slots=True)
class Wave:
    """Donors to ask together (n,), best first, and what is to be expected of them and all asked before."""

    at: float
    donor: Ints
    p: Floats
    radius_km: float
    searched_as: int  # urgency
    probability: float  # of enough donations in time
    expected_donations: float  # in time
    expected_overshoot: float  # donations in time beyond the units wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whom to ask at one look."""

    wave: Wave | None  # to be sent at its moment, which lies ahead in quiet hours
    reason: Reason | None  # why nobody is to be asked now
    look_again_at: float | None  # None: no later wave can help
    probability: float  # of enough donations in time if nobody else is asked
    reachable: float  # if everybody is who may be now, as far away as a critical request searches

    @property
    def escalate(self) -> bool:
        """Whether donors cannot be relied on alone: a person must look for another source."""
        return self.reachable < TARGET


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision and the waves that follow it; exposure is the Gini coefficient of the asks of 30 days."""

    decision: Decision
    waves: tuple[Wave, ...]  # the decision's own is the first, if it has one
    exposure_before: float | None  # over the eligible donors within reach; None: nobody was looked for
    exposure_after: float | None  # when all waves are sent


def nobody(
    reason: Reason, probability: float, *, reachable: float | None = None, look_again_at: float | None = None
) -> Decision:
    """Return the decision to ask nobody; without a search, what those asked promise is all that can be reached."""
    return Decision(
        wave=None,
        reason=reason,
        look_again_at=look_again_at,
        probability=probability,
        reachable=probability if reachable is None else reachable,
    )
