"""Intervals that hold as many days as they say, as wide as the days before tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting import intervals
from backend.domains.blood.forecasting.bank import Bank
from backend.domains.blood.forecasting.intervals import (
    COVERAGES,
    OUTERMOST,
    Calibration,
    Reference,
    Sample,
    calibrate,
    outlyingness,
)
from backend.domains.blood.forecasting.metrics import QUANTILES
from backend.domains.blood.forecasting.selection import Bands
from backend.domains.blood.records import Floats

WEEK = 7
SEEDS = st.integers(0, 2**32 - 1)


def counts_about(mean: Floats, *, dispersion: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.negative_binomial(mean / (dispersion - 1.0), 1.0 / dispersion).astype(float)


@pytest.fixture(scope="session")
def make_weeks(make_bank):
    """A bank of forecasts `mean` (series,) for each of many weeks that follow one another, and what came of them."""

    def make(mean: list[float], *, weeks: int = 60, dispersion: float = 3.0, seed: int = 1) -> Bank:
        said = np.broadcast_to(np.array(mean)[:, None], (weeks, len(mean), WEEK))
        # Forecasts differ from day to day, as they do.
        said = said * np.random.default_rng(seed).uniform(0.7, 1.3, said.shape)
        actual = counts_about(np.maximum(said, 1e-12), dispersion=dispersion, seed=seed) * (said > 0.0)
        return make_bank(
            origins=100 + WEEK * np.arange(weeks), actual=actual, said=said, level=np.array(mean), reach=10**6
        )

    return make


def calibrated(bank: Bank, *, whole: bool = True) -> tuple[Calibration, Floats]:
    """The calibration at the last origin, and the forecast there."""
    points = bank.forecasts["ets"]
    return calibrate(bank, int(bank.origins[-1]), Bands.at(bank.level[-1]), points[:-1], whole=whole), points[-1]


def test_how_far_out_a_value_lies():
    below, up_to = np.array([0.0, 0.4, 0.9, 0.0]), np.array([0.1, 0.6, 1.0, 0.7])
    np.testing.assert_allclose(outlyingness(below, up_to), [0.8, 0.0, 0.8, 0.0])


@pytest.mark.parametrize("noise", [1.5, 6.0])
def test_intervals_cover_what_they_say(make_weeks, noise: float):
    bank = make_weeks([30.0, 40.0, 60.0], weeks=60, dispersion=noise)
    calibration, mean = calibrated(bank)
    draws = 2_000
    fresh = [
        calibration.covered(counts_about(mean, dispersion=noise, seed=1_000 + draw), mean) for draw in range(draws)
    ]
    learnt = 59 * 3 * WEEK  # days, independent of one another
    for coverage, held in zip(COVERAGES, np.mean(fresh, axis=(0, 2, 3)), strict=True):
        doubt = np.sqrt(coverage * (1.0 - coverage) / learnt)
        assert held == pytest.approx(coverage, abs=4.0 * doubt), f"{held:.3f}"


def test_intervals_are_wider_where_forecasts_were_worse(make_weeks):
    widths = []
    for noise in (1.5, 6.0):
        calibration, mean = calibrated(make_weeks([40.0], dispersion=noise))
        lower, upper = calibration.limits(mean)
        widths.append((upper - lower).mean(axis=(1, 2)))
    np.testing.assert_allclose(widths[1] / widths[0], np.sqrt(6.0 / 1.5), rtol=0.3)


def test_each_band_has_the_width_that_its_own_past_asks_for(make_weeks, make_bank):
    # The forecasts of the small series are right, those of the large ones are of another size each day.
    bank = make_weeks([10.0] * 8 + [80.0] * 8, weeks=30, dispersion=1.5)
    rng = np.random.default_rng(4)
    bank.actual[:, 8:] = np.rint(bank.actual[:, 8:] * rng.uniform(0.3, 1.7, bank.actual[:, 8:].shape))
    calibration, mean = calibrated(bank)
    dispersion = calibration.reference.dispersion
    assert dispersion[:8].max() < 3.0
    assert dispersion[8:].min() > 6.0
    lower, upper = calibration.limits(mean)
    in_noise = (upper - lower) / np.sqrt(1.5 * mean)  # 2.56 and 3.92 for a normal day
    np.testing.assert_allclose(in_noise[:, :8].mean(axis=(1, 2)), [2.56, 3.92], rtol=0.25)
    assert (in_noise[:, 8:].mean(axis=(1, 2)) > [5.0, 6.0]).all()


@pytest.mark.parametrize("weeks", [4, 12])  # 4 weeks of three series are so few days that they borrow from others
def test_silent_series_do_not_narrow_the_intervals_of_the_others(make_weeks, weeks: int):
    alone = make_weeks([4.0, 6.0, 8.0], weeks=weeks)
    crowd = make_weeks([4.0, 6.0, 8.0] + [0.0] * 109, weeks=weeks)
    crowd.actual[:, :3], crowd.forecasts["ets"][:, :3] = alone.actual, alone.forecasts["ets"]
    of_three, mean = calibrated(alone)
    of_all, mean_of_all = calibrated(crowd)
    lower, upper = of_all.limits(mean_of_all)
    assert (upper[:, :3] - lower[:, :3] >= 3.0).all()
    np.testing.assert_array_equal((lower[:, :3], upper[:, :3]), of_three.limits(mean))
    assert (upper[:, 3:] == 0.0).all(), "of those with nothing, nothing is expected"


def test_a_band_with_few_days_has_the_calibration_of_all(make_weeks):
    few, many = (calibrated(make_weeks([200.0] * 8 + [5.0] * 8, weeks=weeks))[0].central for weeks in (2, 30))
    np.testing.assert_array_equal(few[:, :8], few[:, 8:])
    assert (many[:, :8] != many[:, 8:]).all()


@settings(max_examples=25)
@given(SEEDS, st.booleans())
def test_limits_are_ordered_and_hold_the_middle(make_weeks, seed: int, whole: bool):  # noqa: FBT001 - hypothesis
    rng = np.random.default_rng(seed)
    bank = make_weeks(rng.gamma(1.0, 10.0, 3).tolist(), weeks=20, dispersion=1.1 + 5.0 * rng.random(), seed=seed)
    bank.actual[:] *= 1.0 if whole else 0.37
    calibration, mean = calibrated(bank, whole=whole)
    (lower_80, lower_95), (upper_80, upper_95) = calibration.limits(mean)
    for low, high in ((lower_95, lower_80), (lower_80, upper_80), (upper_80, upper_95)):
        assert (low <= high).all()
    assert (lower_95 >= 0.0).all()
    quantiles = calibration.quantiles(mean)
    assert (np.diff(quantiles, axis=0) >= 0.0).all()
    if whole:
        limits = np.stack([lower_80, lower_95, upper_80, upper_95, *quantiles])
        np.testing.assert_array_equal(limits, np.rint(limits))


def test_limits_of_other_measures_are_not_rounded(make_weeks):
    bank = make_weeks([30.0], weeks=20)
    bank.actual[:] *= 0.37
    bank.forecasts["ets"][:] *= 0.37
    calibration, mean = calibrated(bank, whole=False)
    lower, upper = calibration.limits(mean)
    assert (lower != np.rint(lower)).any()
    assert ((lower < mean) & (mean < upper)).all()


@settings(max_examples=25)
@given(SEEDS, st.floats(0.1, 20.0))
def test_what_counts_as_covered_is_what_lies_within_the_limits(make_bank, seed: int, mean: float):
    # The same forecast every day, so that a value met in the past lies exactly where its interval ends.
    said = np.full((20, 1, WEEK), mean)
    actual = counts_about(said, dispersion=2.0, seed=seed)
    bank = make_bank(origins=100 + WEEK * np.arange(20), actual=actual, said=said, level=mean)
    calibration, now = calibrated(bank)
    lower, upper = calibration.limits(now)
    for value in range(60):
        within = (lower <= value) & (value <= upper)
        np.testing.assert_array_equal(calibration.covered(np.full(now.shape, float(value)), now), within)


def test_without_any_past_intervals_are_those_of_the_reference(make_bank):
    said = np.full((1, 1, 3), 10.0)
    bank = make_bank(origins=np.array([28]), actual=said, said=said, level=10.0)
    calibration = calibrate(bank, 28, Bands.at(bank.level[0]), said[:0], whole=True)
    np.testing.assert_allclose(calibration.central[:, 0, 0], COVERAGES)
    np.testing.assert_allclose(calibration.levels[:, 0, 0], QUANTILES)
    assert calibration.reference.dispersion.tolist() == [1.0]


def test_no_interval_is_wider_than_worth_it(make_weeks):
    bank = make_weeks([5.0], weeks=20)
    bank.actual[:] = 1e6
    calibration, _ = calibrated(bank)
    assert (calibration.central == OUTERMOST).all()


def test_a_series_of_its_own_noise_has_its_own_dispersion_once_it_has_a_record(make_bank):
    said = np.full((60, 2, WEEK), 30.0)
    calm, noisy = (counts_about(said[:, :1], dispersion=noise, seed=2) for noise in (1.5, 6.0))
    both = np.concatenate([calm, noisy], axis=1)
    short, long = (
        calibrated(
            make_bank(origins=100 + WEEK * np.arange(weeks), actual=both[:weeks], said=said[:weeks], level=30.0)
        )[0].reference.dispersion
        for weeks in (4, 60)
    )
    # Its last year's 206 days, older ones counting less, against the band's 3.75 as 60 days.
    np.testing.assert_allclose(long, (206.0 * np.array([1.5, 6.0]) + 60.0 * 3.75) / 266.0, rtol=0.2)
    assert long[1] / long[0] > 1.5 * short[1] / short[0], "with a short one it has its band's"


def test_a_stretch_of_the_horizon_has_the_width_of_its_own_errors(make_bank):
    said = np.full((60, 3, 2 * WEEK), 40.0)
    near, far = (counts_about(said[:, :, :WEEK], dispersion=noise, seed=3) for noise in (1.5, 8.0))
    actual = np.concatenate([near, far], axis=2)
    calibration, mean = calibrated(make_bank(origins=100 + 2 * WEEK * np.arange(60), actual=actual, said=said, level=9))
    lower, upper = calibration.limits(mean)
    width = (upper - lower).mean(axis=1)
    assert (width[:, WEEK:] > 1.7 * width[:, :WEEK].max(axis=1, keepdims=True)).all()


def test_a_short_history_is_trusted_less_for_days_share_their_luck(make_weeks, monkeypatch):
    bank = make_weeks([30.0], weeks=30)
    bank.actual[::4] = np.rint(bank.actual[::4] * 1.5)  # every fourth week came out higher, all of it
    widths = []
    for days in (1, 30, 10_000):
        monkeypatch.setattr(intervals, "BLOCK_DAYS", days)
        calibration, _ = calibrated(bank)
        widths.append(calibration.central[:, 0, 0])
    alone, by_month, known_for_sure = widths
    assert (by_month > known_for_sure).all()
    assert (alone >= known_for_sure).all()


def test_days_that_nobody_observed_count_for_nothing(make_weeks, make_bank):
    late = make_weeks([20.0, 30.0])
    late.actual[:30] = np.nan
    actual, said = late.actual[30:], late.forecasts["ets"][30:]
    short = make_bank(origins=late.origins[30:], actual=actual, said=said, level=late.level[30:])
    (of_late, _), (of_short, _) = calibrated(late), calibrated(short)
    np.testing.assert_allclose(of_late.reference.dispersion, of_short.reference.dispersion)
    np.testing.assert_allclose(of_late.central, of_short.central)
    np.testing.assert_allclose(of_late.levels, of_short.levels)


def test_days_at_or_after_the_origin_change_nothing(make_weeks):
    bank, other = make_weeks([5.0, 50.0]), make_weeks([5.0, 50.0])
    origin = int(bank.origins[30])
    other.actual[30:] = 1e6
    of_bank, of_other = (
        calibrate(which, origin, Bands.at(which.level[30]), which.forecasts["ets"][:30], whole=True)
        for which in (bank, other)
    )
    np.testing.assert_array_equal(of_bank.central, of_other.central)
    np.testing.assert_array_equal(of_bank.levels, of_other.levels)
    np.testing.assert_array_equal(of_bank.reference.dispersion, of_other.reference.dispersion)


def test_a_quantile_of_scores_is_where_their_weights_reach_it():
    sample = Sample(np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0]), np.arange(3))
    assert sample.quantiles((0.1, 0.5, 0.6, 0.75, 0.8, 1.0)).tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert Sample(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)).conformal(COVERAGES).tolist() == [0.8, 0.95]


def test_of_n_independent_scores_the_quantile_is_one_in_n_higher():
    # 80 % of 100 and 1 % of that more: the 81st score, as split conformal prediction takes it.
    sample = Sample(np.arange(100.0), np.ones(100), np.arange(100))
    assert sample.quantiles((0.8,)).tolist() == [79.0]
    assert sample.conformal((0.8,)).tolist() == [80.0]


def test_scores_that_share_their_luck_count_as_fewer():
    # Ten stretches of ten equal scores know as much as ten scores: 80 % and a tenth of it more.
    score = np.repeat(np.arange(10.0), 10)
    apart, together = np.arange(100), np.repeat(np.arange(10), 10)
    assert Sample(score, np.ones(100), apart).conformal((0.79,)).tolist() == [7.0]
    assert Sample(score, np.ones(100), together).conformal((0.79,)).tolist() == [8.0]


def test_the_reference_is_about_its_mean():
    mean = np.full((1, 2), 12.0)
    reference = Reference(whole=True, dispersion=np.array([3.0]))
    median = reference.quantile(np.array(0.5), mean)
    assert median.tolist() == [[11.0, 11.0]], "it leans to the left"
    below, up_to = reference.chances(median, mean)
    assert (below < 0.5).all()
    assert (up_to >= 0.5).all()
