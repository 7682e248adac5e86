"""The negative binomial, against scipy's and against itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from backend.domains.blood.forecasting.counts import LEAST_DISPERSION, LEAST_MEAN, below_and_up_to, measure, quantile

MEANS = st.floats(0.01, 500.0)
DISPERSIONS = st.floats(LEAST_DISPERSION, 20.0)
VALUES = st.integers(0, 800)
LEVELS = st.floats(1e-5, 1.0 - 1e-5)


def chances(value: float, mean: float, dispersion: float) -> tuple[float, float]:
    below, up_to = below_and_up_to(np.array(value, dtype=np.float64), np.array(mean), np.array(dispersion))
    return float(below), float(up_to)


@settings(max_examples=30)
@given(VALUES, MEANS, DISPERSIONS)
def test_chances_agree_with_scipy(value: int, mean: float, dispersion: float):
    theirs = nbinom(mean / (dispersion - 1.0), 1.0 / dispersion)
    np.testing.assert_allclose(theirs.mean(), mean)
    np.testing.assert_allclose(theirs.var(), mean * dispersion)
    np.testing.assert_allclose(
        chances(value, mean, dispersion), [theirs.cdf(value - 1), theirs.cdf(value)], rtol=1e-6, atol=1e-12
    )


@settings(max_examples=30)
@given(LEVELS, MEANS, DISPERSIONS)
def test_a_quantile_is_the_smallest_count_that_reaches_its_level(level: float, mean: float, dispersion: float):
    count = float(quantile(np.array(level), np.array(mean), np.array(dispersion)))
    assert count == np.rint(count) >= 0.0
    below, up_to = chances(count, mean, dispersion)
    assert below < level + 1e-9
    assert up_to >= level - 1e-9


@settings(max_examples=30)
@given(LEVELS, st.floats(0.0, 500.0), DISPERSIONS)
def test_quantiles_are_those_of_scipy(level: float, mean: float, dispersion: float):
    size = max(mean, LEAST_MEAN) / (dispersion - 1.0)
    mine = float(quantile(np.array(level), np.array(mean), np.array(dispersion)))
    assert nbinom.ppf(level - 1e-9, size, 1.0 / dispersion) <= mine <= nbinom.ppf(level + 1e-9, size, 1.0 / dispersion)


@given(st.floats(0.0, 100.0), st.floats(0.0, 1.0), MEANS, DISPERSIONS)
def test_chances_rise_with_the_value_between_whole_numbers_too(
    value: float, more: float, mean: float, dispersion: float
):
    below, up_to = chances(value, mean, dispersion)
    below_more, up_to_more = chances(value + more, mean, dispersion)
    assert 0.0 <= below <= up_to <= 1.0
    assert below <= below_more + 1e-12
    assert up_to <= up_to_more + 1e-12


def test_nothing_is_below_0():
    below, up_to = chances(0.0, 2.0, 2.0)
    assert below == 0.0
    np.testing.assert_allclose(up_to, 0.25)  # two units of size, each 0 with chance 1/2


def test_counts_are_counted_one_by_one_and_never_less_noisy_than_poisson():
    unit, dispersion = measure(np.array([0.2, 3.0]), whole=True)
    assert unit.tolist() == [1.0, 1.0]
    assert dispersion.tolist() == [LEAST_DISPERSION, 3.0]


@given(MEANS, st.floats(0.01, 100.0))
def test_other_measures_keep_their_variance_in_the_unit_they_are_counted_in(mean: float, noise: float):
    unit, dispersion = measure(np.array(noise), whole=False)
    variance = unit**2 * (mean / unit) * dispersion  # of counts about mean / unit, back in the measure's own unit
    np.testing.assert_allclose(variance, mean * noise)
    assert dispersion > LEAST_DISPERSION
