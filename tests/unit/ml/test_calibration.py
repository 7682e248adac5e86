import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from backend.ml.calibration import (
    IntervalCurve,
    LogisticCalibration,
    fit_logistic_calibration,
    logit,
)
from tests.unit.ml.conftest import asks


@given(st.floats(0.3, 3.0), st.floats(-2.0, 2.0))
@settings(max_examples=20, deadline=None)
def test_calibration_recovers_the_distortion_of_a_probability(slope: float, intercept: float) -> None:
    rng = np.random.default_rng(0)
    probability = expit(rng.normal(0.0, 1.5, 100_000))
    outcome = rng.random(100_000) < expit(slope * logit(probability) + intercept)
    fitted = fit_logistic_calibration(probability=probability, outcome=outcome)
    assert fitted.slope == pytest.approx(slope, abs=0.1)
    assert fitted.intercept == pytest.approx(intercept, abs=0.1)


def test_a_calibrated_probability_keeps_its_mean_equal_to_the_rate() -> None:
    score, outcome, _ = asks(1, requests=2000, each=10, request_sd=0.0)
    fitted = fit_logistic_calibration(probability=np.sqrt(score), outcome=outcome)
    assert fitted.apply(np.sqrt(score)).mean() == pytest.approx(outcome.mean(), abs=1e-6)


def test_the_neutral_calibration_changes_nothing() -> None:
    probability = np.array([0.001, 0.2, 0.9])
    np.testing.assert_allclose(LogisticCalibration(slope=1.0, intercept=0.0).apply(probability), probability)


def test_calibration_refuses_outcomes_that_are_all_alike() -> None:
    with pytest.raises(ValueError, match="both outcomes"):
        fit_logistic_calibration(probability=np.full(5, 0.5), outcome=np.ones(5, dtype=np.bool_))


def test_an_interval_rises_with_the_score_and_contains_the_rate_it_was_fitted_to() -> None:
    score, outcome, request = asks(2, requests=3000, each=10, request_sd=0.5)
    curve = IntervalCurve.fit(score=score, outcome=outcome, group=request, shift_sd=0.0, seed=0)
    assert (np.diff(curve.low) >= 0).all()
    assert (np.diff(curve.high) >= 0).all()
    low, high = curve.at(np.array([0.1]))
    near = np.abs(score - 0.1) < 0.01
    assert low[0] < outcome[near].mean() < high[0]


def test_rows_that_share_luck_make_the_interval_wider() -> None:
    score, outcome, request = asks(3, requests=200, each=60, request_sd=1.0)
    by_request = IntervalCurve.fit(score=score, outcome=outcome, group=request, shift_sd=0.0, seed=0, bins=4)
    by_row = IntervalCurve.fit(score=score, outcome=outcome, group=np.arange(len(score)), shift_sd=0.0, seed=0, bins=4)
    assert np.subtract(by_request.high, by_request.low).mean() > 1.5 * np.subtract(by_row.high, by_row.low).mean()


def test_shifts_between_periods_make_the_interval_wider() -> None:
    score, outcome, request = asks(4, requests=3000, each=10, request_sd=0.3)
    steady = IntervalCurve.fit(score=score, outcome=outcome, group=request, shift_sd=0.0, seed=0)
    shifting = IntervalCurve.fit(score=score, outcome=outcome, group=request, shift_sd=0.3, seed=0)
    assert np.subtract(shifting.high, shifting.low).mean() > np.subtract(steady.high, steady.low).mean()


def test_an_interval_moves_on_with_scores_beyond_those_it_has_seen() -> None:
    curve = IntervalCurve(level=0.9, scores=(0.1, 0.2), low=(0.05, 0.15), high=(0.2, 0.3))
    low, high = curve.at(np.array([0.1, 0.15, 0.2]))
    assert low.tolist() == pytest.approx([0.05, 0.10, 0.15])
    assert high.tolist() == pytest.approx([0.20, 0.25, 0.30])
    beyond = np.array([0.01, 0.5, 0.9])
    low, high = curve.at(beyond)
    assert ((low < beyond) & (beyond < high)).all()
    assert (np.diff(low) > 0).all()
    assert logit(high[2:]) - logit(beyond[2:]) == pytest.approx(logit(np.array([0.3])) - logit(np.array([0.2])))


def test_scores_that_are_all_alike_get_one_interval() -> None:
    outcome = np.arange(200) % 4 == 0
    curve = IntervalCurve.fit(score=np.full(200, 0.3), outcome=outcome, group=np.arange(200), shift_sd=0.0, seed=0)
    low, high = curve.at(np.array([0.3]))
    assert low[0] < 0.25 < high[0]
