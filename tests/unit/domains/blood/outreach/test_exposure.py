import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.outreach.exposure import gini

counts = st.lists(st.integers(0, 50), min_size=1, max_size=30)


@given(asks=counts.filter(any))
def test_it_is_half_the_relative_mean_difference_of_all_pairs(asks: list[int]) -> None:
    column = np.array(asks)
    mean_difference = np.abs(column[:, None] - column).mean()
    assert gini(column) == pytest.approx(mean_difference / (2.0 * column.mean()))


@given(asks=counts)
def test_it_lies_between_equality_and_one_who_has_all(asks: list[int]) -> None:
    assert -1e-12 <= gini(np.array(asks)) <= 1.0 - 1.0 / len(asks) + 1e-12


def test_equal_exposure_is_0_and_so_is_none() -> None:
    assert gini(np.array([3, 3, 3])) == pytest.approx(0.0)
    assert gini(np.zeros(4)) == 0.0
    assert gini(np.empty(0)) == 0.0


def test_asking_whoever_was_asked_least_makes_exposure_more_even() -> None:
    assert gini(np.array([1, 1, 3])) < gini(np.array([0, 1, 3])) < gini(np.array([0, 1, 4]))


@pytest.mark.parametrize("wrong", [[-1.0, 2.0], [np.nan, 1.0]])
def test_counts_that_are_none_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="not negative"):
        gini(np.array(wrong))
