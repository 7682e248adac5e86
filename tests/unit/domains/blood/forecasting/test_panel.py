"""History is checked once, when it becomes a panel; what is wrong is named by series and date."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.panel import ONE_DAY, Days, Panel
from backend.errors import InputError

NAN = np.nan
KEYS = (("Ernakulam", "O+"), ("Kollam", "A-"))


def days_from(first: str, count: int) -> Days:
    return np.datetime64(first, "D") + ONE_DAY * np.arange(count)


def panel_of(*rows: list[float], days: Days | None = None, keys: tuple[tuple[str, ...], ...] = KEYS) -> Panel:
    values = np.array(rows, dtype=np.float64)
    days = days_from("2026-02-27", values.shape[1]) if days is None else days
    return Panel.of(days=days, names=("district", "group"), keys=keys, values=values)


def test_a_panel_keeps_what_it_is_given():
    panel = panel_of([1, 2, 3], [0, 0, 4])
    assert len(panel) == 2
    assert panel.days.astype(str).tolist() == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert panel.values.tolist() == [[1, 2, 3], [0, 0, 4]]


def test_a_series_may_begin_later_than_others():
    assert np.isnan(panel_of([1, 2, 3], [NAN, NAN, 0]).values).sum() == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, NAN, 3], "series Kollam / A-: the value of 2026-02-28 is missing or negative"),
        ([1, 2, NAN], "series Kollam / A-: the value of 2026-03-01 is missing or negative"),
        ([NAN, -1, NAN], "series Kollam / A-: the value of 2026-02-28 is missing or negative"),
        ([-np.inf, 2, 3], "series Kollam / A-: the value of 2026-02-27 is missing or negative"),
        ([NAN, np.inf, 3], "series Kollam / A-: the value of 2026-02-28 is infinite"),
        ([NAN, NAN, NAN], "series Kollam / A-: the value of 2026-03-01 and all days before are missing"),
    ],
)
def test_a_value_that_cannot_be_is_named_by_series_and_date(row: list[float], message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        panel_of([0, 0, 0], row)


@settings(max_examples=30)
@given(st.integers(0, 1), st.integers(1, 9), st.sampled_from([NAN, -1e-9, np.inf]))
def test_wherever_the_wrong_value_lies_it_is_found(series: int, day: int, wrong: float):
    values = np.ones((2, 10))
    values[series, day] = wrong
    date = str(days_from("2026-02-27", 10)[day])
    with pytest.raises(InputError, match=re.escape(f"series {' / '.join(KEYS[series])}: the value of {date} is ")):
        panel_of(*values)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (["2026-02-27", "2026-03-01", "2026-03-02"], "the day after 2026-02-27 is 2026-03-01"),
        (["2026-02-27", "2026-02-27", "2026-02-28"], "the day after 2026-02-27 is 2026-02-27"),
        (["2026-02-27", "2026-02-28", "2026-02-27"], "the day after 2026-02-28 is 2026-02-27"),
    ],
)
def test_days_must_follow_one_another(days: list[str], message: str):
    with pytest.raises(InputError, match=message):
        panel_of([1, 2, 3], [1, 2, 3], days=np.array(days, dtype="datetime64[D]"))


def test_two_series_with_one_key_are_refused():
    with pytest.raises(InputError, match="two series have the same key"):
        panel_of([1], [2], keys=(KEYS[0], KEYS[0]))


@pytest.mark.parametrize("shape", [(2, 4), (1, 3), (0, 0), (2, 0)])
def test_values_must_fit_series_and_days(shape: tuple[int, int]):
    values, keys = np.ones(shape), KEYS if shape[0] else ()
    with pytest.raises(InputError, match="do not fit"):
        Panel.of(days=days_from("2026-02-27", 3 if shape[1] else 0), names=("d", "g"), keys=keys, values=values)


def test_counts_are_told_from_other_measures():
    assert panel_of([1, 2], [NAN, 3]).whole
    assert not panel_of([1, 2], [NAN, 3.5]).whole


def test_a_panel_without_its_first_days_still_has_each_value_on_its_date():
    later = panel_of([1, 2, 3], [NAN, 5, 6]).since(1)
    assert later.days.astype(str).tolist() == ["2026-02-28", "2026-03-01"]
    assert later.values.tolist() == [[2, 3], [5, 6]]
    assert later.keys == KEYS
