import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.outreach.counts import certainly_none, product, short_of

chances = st.lists(st.floats(0.0, 1.0), max_size=9)


def enumerated(p: list[float], units: int) -> list[float]:
    """P(exactly k of the events happen) for k below `units`, summed over everything that can happen."""
    exactly = [0.0] * (len(p) + units)
    for outcome in itertools.product([False, True], repeat=len(p)):
        exactly[sum(outcome)] += float(
            np.prod([q if happens else 1.0 - q for q, happens in zip(p, outcome, strict=True)])
        )
    return exactly[:units]


@given(p=chances, units=st.integers(1, 5))
def test_the_distribution_is_that_of_everything_that_can_happen(p: list[float], units: int) -> None:
    assert short_of(units, np.array(p).reshape(-1, 1))[:, 0] == pytest.approx(enumerated(p, units), abs=1e-12)


@given(one=chances, other=chances, units=st.integers(1, 5))
def test_two_groups_together_are_one_group(one: list[float], other: list[float], units: int) -> None:
    apart = [short_of(units, np.array(p).reshape(-1, 1)) for p in (one, other)]
    together = short_of(units, np.array(one + other).reshape(-1, 1))
    assert product(units, *apart) == pytest.approx(together, abs=1e-12)


def test_each_node_of_luck_is_a_column_of_its_own() -> None:
    given_luck = np.random.default_rng(1).random((7, 3))
    columns = [short_of(3, given_luck[:, [node]])[:, 0] for node in range(3)]
    assert short_of(3, given_luck) == pytest.approx(np.stack(columns, axis=1))


def test_nobody_gives_nothing() -> None:
    assert short_of(2, np.empty((0, 4))).tolist() == certainly_none(2, 4).tolist() == [[1.0] * 4, [0.0] * 4]
