"""Errors on the scale of each series' own seasonal naive error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss

from backend.domains.blood.forecasting.metrics import QUANTILES, scaled_error, scaled_pinball

NAN = np.nan


def test_the_error_is_the_mean_over_the_horizon_by_the_scale():
    actual, forecast = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]), np.array([[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(scaled_error(actual, forecast, np.array([2.0, 0.5])), [5.0 / 3.0 / 2.0, 2.0])


def test_days_that_nobody_observed_do_not_count():
    assert scaled_error(np.array([[NAN, 3.0]]), np.array([[9.0, 1.0]]), np.array([2.0])).tolist() == [1.0]


@pytest.mark.parametrize(("actual", "scale"), [([NAN, NAN], 1.0), ([1.0, 2.0], NAN)])
def test_without_days_or_scale_the_error_is_undefined(actual: list[float], scale: float):
    said = np.zeros((1, 2))
    assert np.isnan(scaled_error(np.array([actual]), said, np.array([scale]))).all()
    assert np.isnan(scaled_pinball(np.array([actual]), np.stack([said] * len(QUANTILES)), np.array([scale]))).all()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_pinball_is_the_mean_of_scikit_learns_over_the_quantiles(seed: int):
    rng = np.random.default_rng(seed)
    actual, quantiles = rng.poisson(3.0, (2, 9)).astype(float), rng.gamma(3.0, 1.0, (len(QUANTILES), 2, 9))
    mine = scaled_pinball(actual, quantiles, np.array([1.0, 4.0]))
    for series, scale in enumerate((1.0, 4.0)):
        theirs = [
            mean_pinball_loss(actual[series], said[series], alpha=level)
            for level, said in zip(QUANTILES, quantiles, strict=True)
        ]
        assert mine[series] == pytest.approx(np.mean(theirs) / scale)


def test_being_too_low_costs_more_at_a_high_quantile():
    actual, low, high = np.array([[5.0]]), np.full((len(QUANTILES), 1, 1), 5.0), np.full((len(QUANTILES), 1, 1), 5.0)
    low[-1], high[-1] = 4.0, 6.0  # of the 97.5 % quantile
    scale = np.ones(1)
    np.testing.assert_allclose(scaled_pinball(actual, low, scale), 0.975 / len(QUANTILES))
    np.testing.assert_allclose(scaled_pinball(actual, high, scale), 0.025 / len(QUANTILES))
