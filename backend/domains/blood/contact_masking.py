"""Whose contact data may be shown, and what is shown in their place: a hint for people who know the donor already."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backend.domains.blood.horizons import HORIZON_HOURS

HIDDEN: Final = "•••"
HIDDEN_DIGITS: Final = "••••••••"
DIGITS_SHOWN: Final = 2
FEWEST_DIGITS: Final = 8  # of a number two digits of which say little
STAYS_OPEN: Final = timedelta(hours=24)
"""A hospital may still have to reach who gave, or was sent home, about how they are."""

CAME: Final = ("donated", "deferred")


def mask_name(name: str | None) -> str | None:
    """Return the initials of the first and the last word, each with as many bullets whatever its length."""
    if name is None:
        return None
    initials = [initial for word in name.split() if (initial := next(filter(str.isalpha, word), None))]
    shown = initials if len(initials) < 2 else (initials[0], initials[-1])
    return " ".join(initial + HIDDEN for initial in shown) or HIDDEN


def mask_phone(phone: str | None) -> str | None:
    """Return the last two digits after as many bullets whatever the length; of a short number, none."""
    if phone is None:
        return None
    digits = [character for character in phone if character.isdecimal()]
    return HIDDEN_DIGITS + ("".join(digits[-DIGITS_SHOWN:]) if len(digits) >= FEWEST_DIGITS else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What decides whether the requester may see who a donor is."""

    consented: bool  # agrees to be contacted, today
    answer: str | None
    answered_at: datetime | None
    outcome: str | None
    ended_at: datetime | None
    urgency: int
    needed_by: datetime | None
    cancelled_at: datetime | None  # the request was called off


def is_revealed(commitment: Commitment, *, now: datetime) -> bool:
    """Return whether the donor's name and phone may be shown now.

    From acceptance on, while donor and requester still have to meet. A donor who withdrew consent, broke the
    commitment, or whose request was called off is masked at once; one who came, 24 hours later; and if nobody
    recorded how it ended, 24 hours after the deadline, so that no ask stays open for good.
    """
    c = commitment
    if c.answer != "accepted" or c.answered_at is None or not c.consented or c.cancelled_at is not None:
        return False
    if c.ended_at is not None:
        return c.outcome in CAME and now < c.ended_at + STAYS_OPEN
    deadline = c.needed_by or c.answered_at + timedelta(hours=HORIZON_HOURS[c.urgency])
    return now < max(deadline, c.answered_at) + STAYS_OPEN
