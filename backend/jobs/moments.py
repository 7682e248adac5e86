"""Days and moments as callers write them: with a zone, written out, and within reach of every calendar."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, TypeAdapter, ValidationError

from backend.clock import utc_now

EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2150, 1, 1, tzinfo=UTC)
_DURATION = TypeAdapter(timedelta)


def _written_out(value: object) -> object:
    # A number would be taken for seconds since 1970, and so would 20260301.
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\s0-9.+]*", value)):
        raise ValueError("is a number; write a day as 2026-03-01 and a moment as 2026-03-01T10:30:00+05:30")
    return value


def _in_reach(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:  # further off, the calendar of another zone may have no such day
        raise ValueError(f"must lie from {EARLIEST.year} to {LATEST.year - 1}")
    return value


def _from_now(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("P"):
        return value
    try:
        return utc_now() + _DURATION.validate_python(value)
    except (ValidationError, OverflowError):
        raise ValueError("is no duration; write 30 seconds as PT30S, two hours as PT2H") from None


Day = Annotated[date, BeforeValidator(_written_out)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_reach)]
Deadline = Annotated[Moment, BeforeValidator(_from_now)]
"""A moment, or a duration from now as in ISO 8601 (`PT30S`), which needs no clock that is right."""
