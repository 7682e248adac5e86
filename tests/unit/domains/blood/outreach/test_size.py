import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.outreach.luck import NODES, by_luck
from backend.domains.blood.outreach.size import POOL_LIMIT, donors_to_ask

probabilities = st.lists(st.floats(0.0, 1.0), max_size=10)


def enumerated(p: list[float], units: int) -> float:
    """P(at least `units` donate), summed over everything that can happen."""
    total = 0.0
    for outcome in itertools.product([False, True], repeat=len(p)):
        if sum(outcome) >= units:
            total += float(np.prod([q if donates else 1.0 - q for q, donates in zip(p, outcome, strict=True)]))
    return total


@pytest.mark.parametrize(
    ("p", "units", "expected"),
    [
        *((0.04, units, n) for units, n in ((1, 74), (2, 117), (4, 192))),
        *((0.10, units, n) for units, n in ((1, 29), (2, 46), (4, 76))),
        *((0.20, units, n) for units, n in ((1, 14), (2, 22), (4, 37))),
        *((0.30, units, n) for units, n in ((1, 9), (2, 14), (4, 24))),
    ],
)
def test_equal_donors_give_the_binomial_numbers(p: float, units: int, expected: int) -> None:
    plan = donors_to_ask(np.full(500, p), units)
    assert plan.reached
    assert (plan.donors, plan.pool) == (expected, 500)
    assert plan.probability >= 0.95 > donors_to_ask(np.full(expected - 1, p), units).probability


@given(p=probabilities, units=st.integers(1, 6), target=st.floats(0.01, 0.99))
def test_the_plan_is_the_shortest_prefix_that_reaches_the_target(p: list[float], units: int, target: float) -> None:
    plan = donors_to_ask(np.array(p), units, target=target)
    reached = [enumerated(p[:asked], units) for asked in range(len(p) + 1)]
    assert plan.probability == pytest.approx(reached[plan.donors], abs=1e-12)
    assert plan.reached or plan.donors == len(p)
    assert all(earlier < target + 1e-12 for earlier in reached[: plan.donors])
    assert 0.0 <= plan.probability <= 1.0


@pytest.mark.parametrize("units", [1, 2, 4])
def test_the_more_luck_donors_share_the_more_must_be_asked(units: int) -> None:
    asked = [donors_to_ask(np.full(1500, 0.1), units, request_sd=sd).donors for sd in (0.0, 0.3, 0.6, 0.9, 1.2)]
    assert asked == sorted(asked)
    assert asked[-1] > 2 * asked[0]


@pytest.mark.parametrize(("request_sd", "units"), [(0.0, 4), (0.5, 2), (1.0, 4)])
def test_the_probability_is_that_of_a_simulation(request_sd: float, units: int) -> None:
    random = np.random.default_rng(7)
    p = np.sort(random.beta(1.5, 9.0, 40))[::-1]
    worlds = 200_000
    # Log-odds such that the average over luck is p, found by bisection over the same simulated luck.
    luck = request_sd * random.standard_normal(2_000)
    low, high = np.full(40, -20.0), np.full(40, 20.0)
    for _ in range(50):
        middle = (low + high) / 2.0
        too_high = (1.0 / (1.0 + np.exp(-(middle[:, None] + luck)))).mean(axis=1) > p
        low, high = np.where(too_high, low, middle), np.where(too_high, middle, high)
    conditional = 1.0 / (1.0 + np.exp(-(low[:, None] + luck)))
    donated = np.zeros(worlds, dtype=np.int64)
    world = random.integers(0, len(luck), worlds)
    for chance in conditional:
        donated += random.random(worlds) < chance[world]
    simulated = (donated >= units).mean()

    plan = donors_to_ask(p, units, target=0.999_999, request_sd=request_sd)
    assert plan.donors == 40
    assert plan.probability == pytest.approx(simulated, abs=0.01)


@pytest.mark.parametrize(("request_sd", "tolerance"), [(0.5, 1e-5), (1.0, 1e-4), (2.0, 1e-2)])
def test_the_quadrature_is_as_accurate_as_documented(request_sd: float, tolerance: float) -> None:
    p = np.sort(np.random.default_rng(3).beta(1.5, 9.0, 40))[::-1]
    given_luck, _ = by_luck(p, request_sd)
    # The luck of a fine grid, weighed by the normal density; log-odds are linear in it.
    at_zero = np.log(given_luck[:, NODES // 2] / (1.0 - given_luck[:, NODES // 2]))
    grid = np.linspace(-8.0, 8.0, 4001)
    density = np.exp(-(grid**2) / 2.0)
    fine = 1.0 / (1.0 + np.exp(-(at_zero[:, None] + request_sd * grid)))
    for units in (1, 4, 8):
        exactly = np.zeros((units, len(grid)))
        exactly[0] = 1.0
        for chance in fine:
            stays = exactly * (1.0 - chance)
            stays[1:] += exactly[:-1] * chance
            exactly = stays
        expected = 1.0 - (exactly.sum(axis=0) @ density) / density.sum()
        plan = donors_to_ask(p, units, target=0.999_999_999, request_sd=request_sd)
        assert plan.probability == pytest.approx(expected, abs=tolerance)


def test_a_pool_that_is_too_small_says_what_it_reaches() -> None:
    plan = donors_to_ask(np.array([0.5, 0.5]), 2)
    assert (plan.donors, plan.pool, plan.reached) == (2, 2, False)
    assert plan.probability == pytest.approx(0.25)


def test_nobody_reaches_nothing() -> None:
    plan = donors_to_ask(np.empty(0), 1, request_sd=0.5)
    assert (plan.donors, plan.pool, plan.probability, plan.reached) == (0, 0, 0.0, False)


def test_only_the_best_donors_of_a_large_pool_are_considered() -> None:
    plan = donors_to_ask(np.full(POOL_LIMIT + 5, 1e-6), 1)
    assert (plan.donors, plan.pool) == (POOL_LIMIT, POOL_LIMIT + 5)


@pytest.mark.parametrize(
    ("units", "target", "request_sd"), [(0, 0.95, 0.0), (1, 1.0, 0.0), (1, 0.0, 0.0), (1, 0.95, -0.1), (1, 0.95, 2.1)]
)
def test_meaningless_questions_are_refused(units: int, target: float, request_sd: float) -> None:
    with pytest.raises(ValueError, match="units must be"):
        donors_to_ask(np.full(3, 0.5), units, target=target, request_sd=request_sd)
