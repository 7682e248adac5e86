import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.outreach.luck import NODES, by_luck

probabilities = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=10).map(np.array)


@given(p=probabilities, sd=st.floats(0.1, 2.0))
def test_shared_luck_leaves_each_donors_own_probability_alone(p: np.ndarray, sd: float) -> None:
    given_luck, weight = by_luck(p, sd)
    assert given_luck.shape == (len(p), NODES)
    assert weight.sum() == pytest.approx(1.0)
    assert given_luck @ weight == pytest.approx(p, abs=1e-7)


@given(p=probabilities, sd=st.floats(0.1, 2.0))
def test_good_luck_helps_everybody(p: np.ndarray, sd: float) -> None:
    given_luck, _ = by_luck(p, sd)
    assert (np.diff(given_luck, axis=1) >= 0.0).all()


def test_without_shared_luck_there_is_one_node() -> None:
    given_luck, weight = by_luck(np.array([0.3, 0.6]), 0.0)
    assert given_luck.tolist() == [[0.3], [0.6]]
    assert weight.tolist() == [1.0]
