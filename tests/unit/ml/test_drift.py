from itertools import repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backend.ml.drift import (
    DRIFTED,
    FEWEST_GROUPS,
    FEWEST_ROWS,
    Bins,
    Shift,
    Verdict,
    measure_shift,
    population_stability_index,
    verdicts,
)

MISSING = np.nan
COLUMNS = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32) | st.just(MISSING))
REFERENCE_ROWS = 20_000
NORMAL = Bins.fit(np.random.default_rng(0).standard_normal(REFERENCE_ROWS))


def grouped(rng: np.random.Generator, *, groups: int, each: int, alike: float) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal values (n,) of which rows of a group share `alike` of the variance, and their groups."""
    group = np.repeat(np.arange(groups), each)
    shared = rng.standard_normal(groups)[group]
    return np.sqrt(alike) * shared + np.sqrt(1.0 - alike) * rng.standard_normal(len(group)), group


def shift_of(values: np.ndarray, group: np.ndarray, *, reference: Bins = NORMAL) -> Shift:
    shift = measure_shift(reference, rows=REFERENCE_ROWS, values=values, group=group)
    assert shift is not None
    return shift


def chance_findings(seed: int, *, alike: float, each: int, told: bool, repeats: int = 300) -> float:
    """Share of unchanged samples with p below 5 %; without being `told` the groups, rows count as independent."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in repeat(None, repeats):
        values, group = grouped(rng, groups=100, each=each, alike=alike)
        found += shift_of(values, group if told else np.arange(len(values))).p < 0.05
    return found / repeats


def test_a_column_of_few_values_has_a_bin_for_each_one_for_all_others_and_one_for_missing_ones() -> None:
    bins = Bins.fit(np.array([2.0, 1.0, 1.0, 4.0, MISSING]))
    assert (bins.exact, bins.cuts) == (True, (1.0, 2.0, 4.0))
    assert bins.shares == pytest.approx((0.4, 0.2, 0.2, 0.0, 0.2))
    assert bins.places(np.array([1.0, 2.0, 4.0, 3.0, 9.0, -1.0, MISSING])).tolist() == [0, 1, 2, 3, 3, 3, 4]


def test_a_column_of_many_values_has_a_tenth_in_each_bin() -> None:
    bins = Bins.fit(np.arange(1000.0))
    assert not bins.exact
    assert len(bins.cuts) == 9
    assert bins.shares == pytest.approx((*[0.1] * 10, 0.0), abs=2e-3)


def test_a_bin_begins_with_its_cut() -> None:
    bins = Bins.fit(np.arange(1000.0))
    assert bins.places(np.array(bins.cuts)).tolist() == list(range(1, 10))
    assert bins.places(np.array([-1e9, 1e9, MISSING])).tolist() == [0, 9, 10]


def test_a_value_that_most_rows_have_begins_a_bin() -> None:
    bins = Bins.fit(np.concatenate((np.zeros(700), np.linspace(1.0, 2.0, 300))))
    assert bins.cuts[0] == 0.0
    assert bins.shares[0] == 0.0
    assert bins.shares[1] == pytest.approx(0.7, abs=2e-3)


def test_a_column_that_is_always_missing_has_one_full_bin() -> None:
    assert Bins.fit(np.full(5, MISSING)).shares == (0.0, 1.0)


@given(COLUMNS)
def test_shares_are_those_of_the_values_they_were_learnt_from(values: np.ndarray) -> None:
    bins = Bins.fit(values)
    count = np.bincount(bins.places(values), minlength=len(bins.shares))
    assert bins.shares == pytest.approx(count / len(values), abs=1e-6)


@given(COLUMNS, COLUMNS)
def test_rounding_moves_no_value_to_another_bin(learnt: np.ndarray, values: np.ndarray) -> None:
    bins = Bins.fit(learnt)
    rounded = np.array([float(str(np.float32(value))) for value in values])
    assert bins.places(rounded).tolist() == bins.places(values).tolist()


def test_nothing_is_learnt_from_no_rows() -> None:
    with pytest.raises(ValueError, match="needs rows"):
        Bins.fit(np.empty(0))


@pytest.mark.parametrize(
    ("cuts", "shares", "what"),
    [
        ((1.0, 2.0), (0.5, 0.5, 0.0), "2 cuts make 4 bins"),
        ((2.0, 1.0), (0.5, 0.5, 0.0, 0.0), "rise"),
        ((1.0, 1.0 + 1e-12), (0.5, 0.5, 0.0, 0.0), "rise"),
        ((1.0, MISSING), (0.5, 0.5, 0.0, 0.0), "finite"),
        ((1.0,), (1.5, -0.5, 0.0), "negative"),
        ((1.0,), (0.5, 0.4, 0.0), "add up to 1"),
    ],
)
def test_bins_that_contradict_themselves_are_refused(
    cuts: tuple[float, ...], shares: tuple[float, ...], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        Bins(cuts, exact=False, shares=shares)


def test_the_index_is_its_formula() -> None:
    by_hand = (0.7 - 0.5) * np.log(0.7 / 0.5) + (0.3 - 0.5) * np.log(0.3 / 0.5)
    found = population_stability_index(np.array([0.5, 0.5]), np.array([7_000_000, 3_000_000]))
    assert found == pytest.approx(by_hand, abs=1e-5)


@given(arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 500)).filter(lambda counts: counts.sum() > 0))
def test_the_index_is_zero_without_a_shift_and_positive_with_one(counts: np.ndarray) -> None:
    shares = counts / counts.sum()
    assert population_stability_index(shares, counts) == pytest.approx(0.0, abs=1e-12)
    moved = counts.copy()
    moved[0] += 100
    moved[-1] += 1
    found = population_stability_index(shares, moved)
    assert 0.0 <= found < np.inf


def test_an_empty_bin_says_no_more_than_the_rows_there_are() -> None:
    few, many = (population_stability_index(np.array([0.99, 0.01]), np.array([n, 0])) for n in (50, 5000))
    assert few < 0.02 < many < 0.1


@pytest.mark.parametrize(("alike", "each"), [(0.0, 5), (0.3, 10), (1.0, 10)])
def test_an_unchanged_column_is_found_as_often_as_chance_allows(alike: float, each: int) -> None:
    assert 0.01 < chance_findings(1, alike=alike, each=each, told=True) < 0.09


def test_without_groups_rows_that_are_alike_would_be_found_by_chance() -> None:
    assert chance_findings(1, alike=0.8, each=10, told=False) > 0.5


def test_p_values_of_an_unchanged_column_spread_evenly() -> None:
    rng = np.random.default_rng(2)
    p = [shift_of(*grouped(rng, groups=150, each=8, alike=0.2)).p for _ in repeat(None, 400)]
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.08)


def test_few_looks_at_unchanged_columns_find_any_that_drifts() -> None:
    rng = np.random.default_rng(3)
    looks = [
        [shift_of(*grouped(rng, groups=60, each=10, alike=1.0)) for _ in repeat(None, 25)] for _ in repeat(None, 40)
    ]
    by_the_index_alone = sum(max(shift.effect for shift in shifts) >= DRIFTED for shifts in looks)
    assert by_the_index_alone > 30, "it jumps when the rows of a group are alike"
    assert sum(Verdict.DRIFTED in verdicts(shifts) for shifts in looks) <= 5


def test_a_moved_column_drifts_though_its_rows_are_alike() -> None:
    values, group = grouped(np.random.default_rng(4), groups=150, each=10, alike=0.3)
    assert verdicts([shift_of(values + 0.8, group)]) == [Verdict.DRIFTED]


@pytest.mark.parametrize("now", [MISSING, 7.0], ids=["missing", "unheard-of"])
def test_a_value_that_never_was_drifts(now: float) -> None:
    bins = Bins.fit(np.tile([0.0, 1.0], 500))
    values = np.where(np.arange(600) % 3 == 0, now, np.arange(600) % 2)
    assert verdicts([shift_of(values, np.arange(600) // 5, reference=bins)]) == [Verdict.DRIFTED]


def test_a_column_with_one_value_then_and_now_is_no_finding() -> None:
    bins = Bins.fit(np.zeros(1000))
    found = shift_of(np.zeros(500), np.arange(500) // 5, reference=bins)
    assert found.effect == pytest.approx(0.0)
    assert found.p == 1.0


def test_bins_with_hardly_a_group_decide_nothing() -> None:
    bins = Bins.fit(np.tile([0.0, 1.0], 500))
    values, group = np.tile([0.0, 1.0], 300), np.arange(600) // 6
    values[:6] = 5.0  # one whole group of a value that was not there
    assert shift_of(values, group, reference=bins).p > 0.5


def test_a_small_reference_proves_less() -> None:
    values, group = grouped(np.random.default_rng(5), groups=100, each=4, alike=0.0)
    small, large = (measure_shift(NORMAL, rows=rows, values=values + 0.3, group=group) for rows in (150, 1_000_000))
    assert small is not None
    assert large is not None
    assert small.p > 100 * large.p
    assert small.effect == large.effect


def test_the_order_of_rows_and_the_names_of_groups_do_not_matter() -> None:
    rng = np.random.default_rng(6)
    values, group = grouped(rng, groups=80, each=5, alike=0.3)
    order = rng.permutation(len(values))
    expected, found = shift_of(values, group), shift_of(values[order], 1000 - 3 * group[order])
    assert (found.effect, found.p) == pytest.approx((expected.effect, expected.p))


@pytest.mark.parametrize(
    ("rows", "groups", "verdict"),
    [
        (0, 0, Verdict.TOO_FEW),
        (FEWEST_ROWS - 1, FEWEST_GROUPS, Verdict.TOO_FEW),
        (FEWEST_ROWS, FEWEST_GROUPS - 1, Verdict.TOO_FEW),
        (FEWEST_ROWS, FEWEST_GROUPS, Verdict.DRIFTED),
    ],
)
def test_nothing_is_said_of_few_rows_or_groups(rows: int, groups: int, verdict: Verdict) -> None:
    values, group = np.full(rows, 9.0), np.arange(rows) % max(groups, 1)
    assert verdicts([measure_shift(NORMAL, rows=REFERENCE_ROWS, values=values, group=group)]) == [verdict]


def test_a_shift_drifts_if_it_matters_and_is_no_chance_finding() -> None:
    shifts = [Shift(1.0, 1e-6), Shift(DRIFTED / 2, 1e-6), Shift(1.0, 0.5), None, Shift(DRIFTED, 1e-6)]
    assert verdicts(shifts) == ["drifted", "stable", "stable", "too_few", "drifted"]


def test_the_more_columns_are_looked_at_the_surer_a_finding_has_to_be() -> None:
    found = Shift(1.0, 0.03)
    assert verdicts([found]) == [Verdict.DRIFTED]
    assert verdicts([found, *[Shift(1.0, 0.9)] * 9])[0] is Verdict.STABLE


def test_nothing_is_said_if_there_is_nothing_to_say() -> None:
    assert verdicts([]) == []
    assert verdicts([None, None]) == [Verdict.TOO_FEW] * 2
