"""Days and moments as callers write them: with a zone, written out, and within reach of every calendar."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2150, 1, 1, tzinfo=UTC)


def _written_out(value: object) -> object:
    # A number would be taken for seconds since 1970, and so would 20260301.
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\s0-9.+]*", value)):
        raise ValueError("is a number; write a day as 2026-03-01 and a moment as 2026-03-01T10:30:00+05:30")
    return value


def _in_reach(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:  # further off, the calendar of another zone may have no such day
        raise ValueError(f"must lie from {EARLIEST.year} to {LATEST.year - 1}")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_reach)]
