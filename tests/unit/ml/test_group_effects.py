import numpy as np
import pytest
from scipy.special import expit

from backend.ml.calibration import fit_logistic_calibration, logit
from backend.ml.group_effects import fit_group_sd, fit_period_sd
from tests.unit.ml.conftest import asks


@pytest.mark.parametrize("request_sd", [0.0, 0.5, 1.0])
def test_the_spread_between_requests_is_recovered(request_sd: float) -> None:
    score, outcome, request = asks(5, requests=1500, each=15, request_sd=request_sd)
    found = fit_group_sd(probability=score, outcome=outcome, group=request)
    assert found == pytest.approx(request_sd, abs=0.15)


@pytest.mark.parametrize("period_sd", [0.0, 0.3])
def test_the_spread_between_periods_is_recovered_beside_that_between_requests(period_sd: float) -> None:
    rng = np.random.default_rng(6)
    period = np.repeat(np.arange(40), 1500)
    request = np.arange(len(period)) // 15
    score = expit(rng.normal(-2.0, 1.0, len(period)))
    shift = period_sd * rng.standard_normal(40)[period] + 0.5 * rng.standard_normal(request.max() + 1)[request]
    outcome = rng.random(len(period)) < expit(logit(score) + shift)
    # The shock of the requests alone moves the marginal rate, so the score is calibrated first.
    calibrated = fit_logistic_calibration(probability=score, outcome=outcome).apply(score)
    found = fit_period_sd(probability=calibrated, outcome=outcome, group=request, period=period)
    assert found == pytest.approx(period_sd, abs=0.09)
