import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.availability import own_interval
from backend.ml.calibration import IntervalCurve

RATE = IntervalCurve(level=0.9, scores=(0.1, 0.5), low=(0.08, 0.45), high=(0.12, 0.55))
SCORES = st.floats(0.001, 0.999)
SPREADS = st.floats(0.0, 2.0)


def interval(score: float, asks: float, *, donor_sd: float = 0.7, request_sd: float = 0.4) -> tuple[float, float]:
    low, high = own_interval(
        np.array([score]), asks=np.array([asks]), rate=RATE, donor_sd=donor_sd, request_sd=request_sd
    )
    return float(low[0]), float(high[0])


@given(SCORES, st.floats(0.0, 100.0), SPREADS, SPREADS)
def test_the_interval_holds_the_score_and_the_interval_of_the_rate(
    score: float, asks: float, donor_sd: float, request_sd: float
) -> None:
    low, high = interval(score, asks, donor_sd=donor_sd, request_sd=request_sd)
    rate_low, rate_high = (float(end[0]) for end in RATE.at(np.array([score])))
    tiny = 1e-9
    assert 0.0 <= low <= score + tiny
    assert score - tiny <= high <= 1.0
    assert low <= rate_low + tiny
    assert rate_high - tiny <= high


@given(SCORES, st.floats(0.0, 50.0), st.floats(0.5, 50.0))
def test_each_ask_narrows_it(score: float, asks: float, more: float) -> None:
    low, high = interval(score, asks)
    narrower_low, narrower_high = interval(score, asks + more)
    assert low <= narrower_low
    assert narrower_high <= high


def test_without_any_spread_it_is_the_interval_of_the_rate() -> None:
    assert interval(0.1, 3.0, donor_sd=0.0, request_sd=0.0) == pytest.approx((0.08, 0.12))
