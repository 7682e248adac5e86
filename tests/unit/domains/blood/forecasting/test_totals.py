"""Sample paths keep the mean of their forecast and the company of other series."""

import numpy as np
import pytest

from backend.domains.blood.forecasting.bank import Bank
from backend.domains.blood.forecasting.intervals import Reference
from backend.domains.blood.forecasting.totals import SHIFTS, WITHOUT_PAST, sample_paths, total_limits
from backend.domains.blood.records import Floats

WEEKS, SERIES, HORIZON = 60, 6, 14
ORIGIN = 100 + 14 * WEEKS


def reference(dispersion: float = 2.0) -> Reference:
    return Reference(whole=True, dispersion=np.full(SERIES, dispersion))


def drawn(mean: Floats, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).negative_binomial(np.maximum(mean, 1e-9), 0.5).astype(float)


@pytest.fixture
def make_past(make_bank):
    """A bank of windows side by side, all before `ORIGIN`, about a forecast of 20, and the points said."""

    def make(actual: Floats, said: float = 20.0) -> tuple[Bank, Floats]:
        points = np.full((WEEKS + 1, SERIES, HORIZON), said)
        bank = make_bank(
            origins=100 + 14 * np.arange(WEEKS + 1),
            actual=np.concatenate([actual, np.full((1, SERIES, HORIZON), np.nan)]),
            said=points,
            level=said,
        )
        return bank, points

    return make


def independent(said: float = 20.0) -> Floats:
    return drawn(np.full((WEEKS, SERIES, HORIZON), said))


@pytest.mark.parametrize("said", [0.05, 0.3, 2.0, 20.0])
@pytest.mark.parametrize("missed", [0.5, 1.0, 2.0])
def test_paths_have_the_mean_of_the_forecast(make_past, said: float, missed: float):
    # Sparse series above all: ranks near 0 are not even, and their paths came out 46 % too high.
    bank, points = make_past(drawn(np.full((WEEKS, SERIES, HORIZON), said * missed)), said)
    paths = sample_paths(bank, ORIGIN, reference(), points)
    assert paths.shape == (WEEKS * len(SHIFTS), SERIES, HORIZON)
    assert (paths >= 0.0).all()
    np.testing.assert_allclose(paths.mean(axis=(0, 2)), said)


def test_a_forecast_of_nothing_has_paths_of_nothing(make_past):
    bank, points = make_past(np.zeros((WEEKS, SERIES, HORIZON)), 0.0)
    assert not sample_paths(bank, ORIGIN, reference(), points).any()


def test_days_without_demand_in_quiet_times_leave_open_how_busy_ones_come_out(make_past):
    # A 0 where 0.05 was expected says hardly anything: it must not become one certain value where 5 is expected.
    bank, points = make_past(np.zeros((WEEKS, SERIES, HORIZON)), 0.05)
    points[-1] = 5.0
    paths = sample_paths(bank, ORIGIN, reference(), points)
    spread = np.quantile(paths, [0.1, 0.9], axis=(0, 2))
    assert (spread[0] < 3.0).all()
    assert (spread[1] > 7.0).all()


def widths(bank: Bank, points: Floats) -> tuple[Floats, Floats]:
    """Of the 80 % and 95 % intervals: those of the total, and those of the series added."""
    paths = sample_paths(bank, ORIGIN, reference(), points)
    lower, upper = total_limits(paths)
    alone = [total_limits(paths[:, [series]]) for series in range(SERIES)]
    return (upper - lower).mean(axis=1), np.sum([(high - low).mean(axis=1) for low, high in alone], axis=0)


def test_the_limits_of_a_total_are_closer_than_the_sum_of_limits(make_past):
    of_total, added = widths(*make_past(independent()))
    # Of 6 series that have nothing to do with one another by the root of 6.
    np.testing.assert_allclose(added / of_total, np.sqrt(6.0), rtol=0.15)


def test_series_that_move_together_make_a_wider_total(make_past):
    one = independent()
    together = np.repeat(one[:, :1], SERIES, axis=1)
    of_total, added = widths(*make_past(together))
    of_independent, _ = widths(*make_past(one))
    assert (of_total > 2.0 * of_independent).all()
    np.testing.assert_allclose(of_total, added, rtol=0.1)


def test_limits_of_a_total_are_quantiles_of_the_summed_paths():
    paths = np.stack([np.arange(101.0), np.arange(101.0)], axis=1)[:, :, None]
    lower, upper = total_limits(paths)
    np.testing.assert_allclose(lower[:, 0], [20.0, 5.0])
    np.testing.assert_allclose(upper[:, 0], [180.0, 195.0])


def test_without_a_past_series_are_independent(make_past):
    _, points = make_past(independent())
    bank, _ = make_past(independent())
    paths = sample_paths(bank, 100, reference(), points[:1])
    assert len(paths) == WITHOUT_PAST
    between = np.corrcoef(paths.reshape(WITHOUT_PAST, SERIES, HORIZON).transpose(1, 0, 2).reshape(SERIES, -1))
    assert np.abs(between - np.eye(SERIES)).max() < 5.0 / np.sqrt(WITHOUT_PAST * HORIZON)


def test_a_past_window_shorter_than_a_week_is_not_followed(make_past):
    bank, points = make_past(independent())
    days = 5
    paths = sample_paths(bank, int(bank.origins[-2]) + days, reference(), points)
    assert len(paths) == (WEEKS - 1) * len(SHIFTS)


def test_days_at_or_after_the_origin_change_no_path(make_past):
    actual = independent()
    bank, points = make_past(actual)
    other, _ = make_past(np.concatenate([actual[:30], actual[30:] + 50.0]))
    origin = int(bank.origins[30])
    # The window before reaches exactly to the origin.
    said, said_of_other = (sample_paths(which, origin, reference(), points[:31]) for which in (bank, other))
    np.testing.assert_array_equal(said, said_of_other)


def test_a_series_that_had_not_begun_comes_out_anyhow(make_past):
    actual = independent()
    actual[:, 0] = np.nan
    bank, points = make_past(actual)
    paths = sample_paths(bank, ORIGIN, reference(), points)
    # As often high as low, as its forecast says: the variance of a negative binomial of mean 20 and dispersion 2 is 40.
    assert paths[:, 0].var() == pytest.approx(40.0, rel=0.2)
