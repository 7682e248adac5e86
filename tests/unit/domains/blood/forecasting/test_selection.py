"""Which candidates forecast which series, by what they were worth before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.bank import CANDIDATES
from backend.domains.blood.forecasting.selection import (
    BANDS_MOST,
    HALF_LIFE_DAYS,
    MEMBERS_MOST,
    SERIES_PER_BAND,
    SILENT,
    UNTRIED,
    Bands,
    _average,
    choose,
    combine,
    recency,
)

EVERY_DAY = np.ones(4)
ACTUAL = np.array([3.0, 5.0, 4.0, 8.0])


def test_the_best_is_chosen_alone_where_others_add_nothing():
    candidates = {"far": ACTUAL + 3.0, "right": ACTUAL, "near": ACTUAL + 1.0}
    assert _average(candidates, ACTUAL, EVERY_DAY) == ("right",)


def test_errors_in_opposite_directions_cancel():
    members = _average({"above": ACTUAL + 1.0, "below": ACTUAL - 1.2, "far": ACTUAL + 9.0}, ACTUAL, EVERY_DAY)
    assert set(members) == {"above", "below"}
    assert members[0] == "above", "the better one comes first"


def test_a_member_counts_as_often_as_it_is_repeated():
    assert sorted(_average({"above": ACTUAL + 1.0, "below": ACTUAL - 2.0}, ACTUAL, EVERY_DAY)) == [
        "above",
        "above",
        "below",
    ]


def test_between_equals_the_first_is_taken_once():
    assert _average({"b": ACTUAL + 1.0, "a": ACTUAL + 1.0}, ACTUAL, EVERY_DAY) == ("b",)


def test_a_gain_too_small_is_not_worth_another_member():
    # Alone they miss by 4 and 4.002 in all; their average by 3.999, a quarter of a thousandth less than 4.
    candidates = {"good": ACTUAL + 1.0, "also good": ACTUAL + np.array([1.0, 1.0, 2.0, -0.002])}
    assert _average(candidates, ACTUAL, EVERY_DAY) == ("good",)


def test_errors_count_by_their_weight():
    candidates = {"first": ACTUAL + 9.0 * np.array([0, 1, 1, 1]), "others": ACTUAL + 5.0 * np.array([1, 0, 0, 0])}
    assert _average(candidates, ACTUAL, np.array([100.0, 0.1, 0.1, 0.1])) == ("first",)
    assert _average(candidates, ACTUAL, np.array([0.1, 1.0, 1.0, 1.0])) == ("others",)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_average_is_never_worse_than_the_best_candidate(seed: int):
    rng = np.random.default_rng(seed)
    actual = rng.poisson(5.0, 30).astype(float)
    candidates = {name: rng.gamma(5.0, 1.0, 30) for name in "abcde"}
    members = _average(candidates, actual, np.ones(30))
    assert 1 <= len(members) <= MEMBERS_MOST
    error = np.abs(actual - np.mean([candidates[name] for name in members], axis=0)).sum()
    assert error <= min(np.abs(actual - said).sum() for said in candidates.values()) + 1e-9


def test_without_anything_to_judge_by_the_default_is_taken():
    nothing = np.zeros(0)
    assert _average(dict.fromkeys(CANDIDATES, nothing), nothing, nothing) == UNTRIED
    assert set(UNTRIED) <= set(CANDIDATES)


def test_the_silent_have_a_band_of_their_own():
    level = np.array([0.0] * 50 + [1e-6, 0.1, 5.0])
    bands = Bands.at(level)
    assert len(bands) == 2
    assert bands.of(level).tolist() == [SILENT] * 50 + [1, 1, 1]


@pytest.mark.parametrize("level", [np.zeros(5), np.ones(5)])
def test_bands_hold_for_series_of_one_kind(level: np.ndarray):
    assert Bands.at(level).of(np.array([0.0, 1.0])).tolist() == [SILENT, 1]


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_the_bands_of_the_others_are_equally_full_and_by_volume(active: int, silent: int, seed: int):
    level = np.append(np.random.default_rng(seed).permutation(active) + 0.5, np.zeros(silent))
    bands = Bands.at(level)
    band = bands.of(level)
    assert len(bands) == 1 + min(max(active // SERIES_PER_BAND, 1), BANDS_MOST)
    full = np.bincount(band, minlength=len(bands))
    assert full[SILENT] == silent
    assert np.ptp(full[1:]) <= 1
    assert (np.diff(band[np.argsort(level)]) >= 0).all()


def test_an_error_counts_half_after_its_half_life(make_bank):
    origins = np.array([0, 180, 360])
    zeros = np.zeros((3, 1, 1))
    bank = make_bank(origins=origins, actual=zeros, said=zeros, level=1.0)
    assert HALF_LIFE_DAYS == 180.0
    np.testing.assert_allclose(recency(bank, np.array([0, 1]), 360), [0.25, 0.5])


@pytest.fixture
def two_kinds(make_bank):
    """A bank in which TSB is right about the small series and ETS about the large one, until day 60."""
    origins = np.arange(28, 100, 4)
    shape = (len(origins), 2, 3)
    level = np.array([1.0, 100.0])
    actual = np.broadcast_to(level[:, None], shape).copy()
    wrong = actual * 3.0
    tsb, ets = wrong.copy(), wrong.copy()
    tsb[:, 0], ets[:, 1] = actual[:, 0], actual[:, 1]
    # What happens from day 60 on turns everything round.
    late = origins >= 60
    actual[late] *= 3.0
    return make_bank(origins=origins, actual=actual, said=wrong * 2.0, level=level, forecasts={"tsb": tsb, "ets": ets})


def test_each_band_has_the_members_that_were_best_for_it(two_kinds):
    bands = Bands(np.array([0.5, 50.0]))
    assert choose(two_kinds, 60, bands) == [UNTRIED, ("tsb",), ("ets",)]


def test_days_that_nobody_observed_are_not_judged(two_kinds):
    two_kinds.actual[:3] = np.nan  # before the series began
    assert choose(two_kinds, 60, Bands(np.array([0.5, 50.0]))) == [UNTRIED, ("tsb",), ("ets",)]


def test_nothing_at_or_after_the_origin_is_judged(two_kinds):
    # The horizon of the last origin before day 60 ends on day 58; a day later its choice may see day 60.
    bands = Bands(np.array([0.5, 50.0]))
    at_60 = choose(two_kinds, 60, bands)
    two_kinds.actual[two_kinds.origins >= 60] = 1e6
    assert choose(two_kinds, 60, bands) == at_60
    assert choose(two_kinds, 96, bands) != at_60


def test_the_first_origin_of_all_has_nothing_to_go_by(two_kinds):
    assert choose(two_kinds, 28, Bands(np.array([0.5]))) == [UNTRIED, UNTRIED]


def test_a_series_that_moved_into_another_band_is_forecast_by_its_members_of_that_day(make_bank):
    ones = np.ones((2, 1, 1))
    bank = make_bank(
        origins=np.array([40, 50]),
        actual=ones,
        said=ones,
        level=np.array([[1.0], [9.0]]),
        forecasts={"tsb": 10.0 * ones, "ets": 40.0 * ones},
    )
    members = [UNTRIED, ("tsb",), ("ets", "tsb", "ets")]
    said = combine(bank, np.array([0, 1]), Bands(np.array([0.5, 5.0])), members)
    np.testing.assert_allclose(said.ravel(), [10.0, 30.0])
