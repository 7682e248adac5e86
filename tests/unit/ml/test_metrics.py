import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, ndcg_score, roc_auc_score
from sklearn.metrics import log_loss as reference_log_loss

from backend.ml.metrics import (
    auc,
    brier_score,
    calibration_line,
    coverage,
    equal_count_bins,
    expected_calibration_error,
    log_loss,
    ndcg_at,
    standard_error,
)

SEEDS = st.integers(0, 2**32 - 1)


def outcomes_of(seed: int, *, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = np.round(rng.uniform(0.02, 0.98, n), 2)  # rounded, so that there are ties
    outcome = rng.random(n) < probability
    outcome[:2] = True, False
    return outcome, probability


@given(SEEDS)
def test_log_loss_brier_and_auc_agree_with_scikit_learn(seed: int) -> None:
    outcome, probability = outcomes_of(seed)
    assert log_loss(outcome, probability) == pytest.approx(reference_log_loss(outcome, probability))
    assert brier_score(outcome, probability) == pytest.approx(brier_score_loss(outcome, probability))
    assert auc(outcome, probability) == pytest.approx(roc_auc_score(outcome, probability))


@given(SEEDS)
def test_ndcg_of_one_group_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, outcome = rng.permutation(30).astype(float), rng.random(30) < 0.3
    outcome[0] = True
    mine = ndcg_at(outcome, score, np.zeros(30, dtype=np.int64), k=10)
    assert mine == pytest.approx(ndcg_score([outcome], [score], k=10))


def test_ndcg_averages_over_groups_that_have_a_positive() -> None:
    group = np.array([7, 7, 3, 3, 5])
    outcome = np.array([True, False, False, True, False])
    score = np.array([0.9, 0.1, 0.9, 0.1, 0.5])  # right in group 7, second in group 3, nothing to find in group 5
    assert ndcg_at(outcome, score, group, k=10) == pytest.approx((1.0 + 1.0 / np.log2(3.0)) / 2.0)


def test_without_both_outcomes_there_is_no_auc_and_no_ndcg() -> None:
    nobody = np.zeros(3, dtype=np.bool_)
    assert np.isnan(auc(nobody, np.arange(3.0)))
    assert np.isnan(ndcg_at(nobody, np.arange(3.0), np.zeros(3, dtype=np.int64), k=10))


def test_log_loss_is_finite_when_a_model_is_certain_and_wrong() -> None:
    assert np.isfinite(log_loss(np.array([True]), np.array([0.0])))


def test_calibration_error_of_a_constant_is_its_distance_from_the_rate() -> None:
    outcome = np.arange(1000) % 4 == 0
    assert expected_calibration_error(outcome, np.full(1000, 0.45), bins=1) == pytest.approx(0.20)


def test_a_calibrated_probability_has_slope_one_and_intercept_zero() -> None:
    outcome, probability = outcomes_of(1, n=200_000)
    assert calibration_line(outcome, probability) == pytest.approx((1.0, 0.0), abs=0.02)


@given(st.integers(1, 200), st.integers(1, 20))
def test_bins_are_equally_full_and_ordered_by_score(rows: int, bins: int) -> None:
    score = np.random.default_rng(rows).permutation(rows).astype(float)
    bin_of = equal_count_bins(score, bins)
    sizes = np.bincount(bin_of, minlength=bins)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(bin_of[np.argsort(score)]) >= 0).all()


def test_coverage_counts_the_ends_of_an_interval_as_inside() -> None:
    low, high = np.zeros(4), np.ones(4)
    assert coverage(np.array([0.0, 1.0, 0.5, 1.1]), low, high) == 0.75


@given(SEEDS)
def test_the_standard_error_without_groups_is_the_textbook_s(seed: int) -> None:
    value = np.random.default_rng(seed).normal(size=50)
    assert standard_error(value, np.arange(50)) == pytest.approx(value.std() / np.sqrt(50))


@given(SEEDS, st.integers(2, 5))
def test_copies_of_a_row_in_one_group_make_no_mean_more_certain(seed: int, copies: int) -> None:
    value = np.random.default_rng(seed).normal(size=40)
    copied = standard_error(np.repeat(value, copies), np.repeat(np.arange(40), copies))
    assert copied == pytest.approx(standard_error(value, np.arange(40)))
