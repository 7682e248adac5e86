"""Simulated asks that tests of calibration share."""

import numpy as np
from scipy.special import expit

from backend.ml.calibration import logit


def asks(seed: int, *, requests: int, each: int, request_sd: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (n,), outcomes that share a shock within each request, and the requests."""
    rng = np.random.default_rng(seed)
    request = np.repeat(np.arange(requests), each)
    score = expit(rng.normal(-2.0, 1.0, len(request)))
    shock = request_sd * rng.standard_normal(requests)
    return score, rng.random(len(request)) < expit(logit(score) + shock[request]), request
