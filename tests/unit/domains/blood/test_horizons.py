from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.horizons import HORIZON_HOURS, hours_until_deadline, local_hour, local_weekday

KERALA = ZoneInfo("Asia/Kolkata")


@given(st.integers(0, 4_000_000_000))
def test_hour_and_weekday_are_those_of_a_clock_in_kerala(second: int) -> None:
    there = datetime.fromtimestamp(second, KERALA)
    at = np.array([float(second)])
    assert local_hour(at)[0] == pytest.approx(there.hour + there.minute / 60 + there.second / 3600)
    assert local_weekday(at)[0] == there.weekday()


def test_a_stated_deadline_wins_over_the_one_by_urgency() -> None:
    hours = hours_until_deadline(
        urgency=np.array([1, 2, 3, 4]), hours_until_needed=np.array([np.nan, 7.5, np.nan, np.nan])
    )
    assert hours.tolist() == [HORIZON_HOURS[1], 7.5, HORIZON_HOURS[3], HORIZON_HOURS[4]]
