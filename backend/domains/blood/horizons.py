"""Until when a donation helps: the deadline of a request, and the local clock it is felt on."""

from typing import Final

import numpy as np

from backend.domains.blood.records import Codes, Floats, Ints

HOUR: Final = 3600.0
DAY: Final = 86_400.0
IST_SECONDS: Final = 5.5 * HOUR
"""Asia/Kolkata is five and a half hours ahead of UTC all year, and has been since 1945."""

HORIZON_HOURS: Final = {1: 96.0, 2: 48.0, 3: 24.0, 4: 12.0}
"""Hours after the ask within which a donation helps when the requester states no time, by urgency (1 routine …)."""

_BY_URGENCY = np.array([np.nan, *HORIZON_HOURS.values()])


def hours_until_deadline(*, urgency: Codes | Ints | Floats, hours_until_needed: Floats) -> Floats:
    """Return the hours (n,) from the ask to its deadline: as stated, else (NaN) the urgency's horizon."""
    default = _BY_URGENCY[np.asarray(urgency, dtype=np.intp)]
    return np.where(np.isnan(hours_until_needed), default, hours_until_needed)


def local_hour(at: Floats) -> Floats:
    """Return the hour of the day (n,), 0 ≤ h < 24 with fractions, on a clock in Kerala at epoch seconds `at`."""
    return np.mod((at + IST_SECONDS) / HOUR, 24.0)


def local_weekday(at: Floats) -> Ints:
    """Return the weekday (n,), Monday 0, in Kerala at epoch seconds `at`."""
    # 1970-01-01 was a Thursday.
    return np.mod(np.floor((at + IST_SECONDS) / DAY).astype(np.int64) + 3, 7)
