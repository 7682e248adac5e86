"""Requests as daily series, and sums that agree with their parts."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.demand import (
    ALL,
    CELLS,
    COLD_DAYS,
    DISTRICT_NAMES,
    GROUP_NAMES,
    Requested,
    cold_forecast,
    daily_panel,
    kerala_holidays,
    outlooks,
    with_cold_cells,
)
from backend.domains.blood.forecasting.forecaster import Forecast
from backend.domains.blood.local_days import FIRST, local_days

IST = local_days("Asia/Kolkata")
ERNAKULAM_O = CELLS.index(("Ernakulam", "O+"))


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def day(text: str) -> int:
    return (datetime.fromisoformat(text).date() - FIRST).days


def requested(*rows: tuple[str, int, float]) -> Requested:
    moments, cells, units = zip(*rows, strict=True) if rows else ((), (), ())
    return Requested(
        at=np.array([at(moment) for moment in moments], dtype=np.float64),
        cell=np.array(cells, dtype=np.int64),
        units=np.array(units, dtype=np.float64),
    )


def test_units_are_counted_on_the_local_day_until_yesterday():
    rows = requested(
        ("2026-03-01T18:00", ERNAKULAM_O, 2.0),  # 23:30 in Kochi
        ("2026-03-01T19:00", ERNAKULAM_O, 3.0),  # half past midnight there
        ("2026-03-02T10:00", ERNAKULAM_O, 1.0),
        ("2026-03-04T10:00", ERNAKULAM_O, 7.0),  # today
    )
    panel = daily_panel(rows, days=IST, today=day("2026-03-04"))
    assert panel is not None
    assert panel.days.astype(str).tolist() == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert panel.values[ERNAKULAM_O].tolist() == [2.0, 4.0, 0.0]
    assert panel.values.sum() == 6.0, "the other cells were asked for nothing"


@pytest.mark.parametrize("rows", [requested(), requested(("2026-03-04T10:00", 0, 1.0))])
def test_without_a_full_day_there_is_no_history(rows: Requested):
    assert daily_panel(rows, days=IST, today=day("2026-03-04")) is None


def a_forecast(*, horizon: int = 4) -> Forecast:
    return cold_forecast(None, first_day=np.datetime64("2026-03-04"), horizon=horizon)


def test_every_cell_is_forecast_and_every_sum_of_them():
    said = {(one.district, one.blood_group): one for one in outlooks(a_forecast())}
    districts, groups = (*DISTRICT_NAMES, ALL), (*GROUP_NAMES, ALL)
    assert set(said) == {(district, group) for district in districts for group in groups}
    for district in DISTRICT_NAMES:
        of_cells = sum(said[district, group].mean for group in GROUP_NAMES)
        np.testing.assert_allclose(said[district, ALL].mean, of_cells)
    np.testing.assert_allclose(said[ALL, ALL].mean, sum(said[ALL, group].mean for group in GROUP_NAMES))


def test_the_limits_of_a_sum_are_closer_than_the_sum_of_limits():
    said = {(one.district, one.blood_group): one for one in outlooks(a_forecast())}
    of_districts = sum(said[district, "O+"].upper - said[district, "O+"].lower for district in DISTRICT_NAMES)
    assert (said[ALL, "O+"].upper - said[ALL, "O+"].lower < of_districts).all()


@settings(max_examples=20)
@given(st.integers(0, len(CELLS) - 1), st.integers(0, 2 * COLD_DAYS))
def test_only_cells_with_hardly_any_day_of_requests_are_taken_from_their_rates(cell: int, days: int):
    rows = [(f"2026-02-{1 + i:02}T08:00", cell, 2.0) for i in range(days)]
    panel = daily_panel(requested(("2026-01-01T08:00", cell, 1.0), *rows), days=IST, today=day("2026-03-04"))
    assert panel is not None
    known = a_forecast()
    fitted = replace(known, methods=(("ets",),) * len(CELLS))
    taken = [methods == ("gamma_poisson",) for methods in with_cold_cells(fitted, panel).methods]
    assert taken[cell] == (1 + days < COLD_DAYS)
    assert all(taken[:cell] + taken[cell + 1 :])


def test_keralas_holidays_are_known():
    found = kerala_holidays(2025, 2026).astype(str).tolist()
    assert {"2025-01-26", "2026-08-15"} <= set(found)
    assert found == sorted(found)
    assert "2025-09-05" in found, "Thiruvonam"
