"""Reading the stock and its alerts."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

import numpy as np

from backend.clock import utc_now
from backend.domains.blood.geography import DISTRICT_CODE, DISTRICTS
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component, Flags, Floats, Ints
from backend.domains.blood.rules import BOMBAY
from backend.domains.blood.schemas import ComponentName
from backend.domains.blood.shelf_lives import COMPONENTS, PRODUCTS
from backend.domains.blood.stock import NO_ROWS, Pool, available_pools, compatible_units, days_of_cover, split
from backend.domains.blood.stock_queries import NO_BANKS, PRODUCT_CODE, Stock, alert_rows, find_bank, read_stock
from backend.domains.blood.stock_schemas import (
    Alert,
    AlertPage,
    AlertQuery,
    DistrictCover,
    StockCell,
    StockPage,
    StockQuery,
    StockTotal,
)
from backend.errors import NotFound
from backend.extensions import transaction

REQUESTED: Final[tuple[ComponentName, ...]] = ("red_cells", "plasma", "platelets")  # by code
NO_BOMBAY: Final = "there is no forecast for Bombay (Oh): its units and donors are found one by one"


def stock(query: StockQuery) -> StockPage:
    """Return the units that are there by bank, and how long they last by district.

    Raises:
        NotFound: there is no such blood bank.
    """
    at = utc_now()
    with transaction(read_only=True) as session:
        district = query.district
        if query.bank_id is not None:
            bank = find_bank(session, query.bank_id)
            if bank is None or district not in {None, bank.district}:
                raise NotFound("blood bank", query.bank_id if district is None else f"{query.bank_id} in {district}")
            district = bank.district
        found = read_stock(session, at=at, district=district)
    chosen = _chosen(query, found)
    expected = found.expected
    return StockPage(
        at=at,
        forecast_made_at=None if expected is None else expected.made_at,
        component_shares=None if expected is None else dict(zip(REQUESTED, expected.shares.tolist(), strict=True)),
        cells=list(_cells(found, chosen)),
        totals=list(_totals(found, chosen)),
        cover=list(_cover(query, found)),
        reason=None if found.banks else NO_BANKS,
    )


def stock_alerts(query: AlertQuery) -> AlertPage:
    """Return the alerts that are open, or closed, newest first."""
    with transaction(read_only=True) as session:
        rows = alert_rows(session, query)
    page = [Alert.model_validate(row) for row in rows[: query.limit]]
    return AlertPage(alerts=page, next_before_id=page[-1].id if len(rows) > query.limit else None)


def _chosen(query: StockQuery, found: Stock) -> Flags:
    """Return which units (n,) the query asks for."""
    units = found.units
    chosen = np.ones(len(units.bank), dtype=np.bool_)
    if query.bank_id is not None:
        chosen &= units.bank == query.bank_id
    if query.blood_group is not None:
        chosen &= units.blood_group == GROUP_CODE[query.blood_group]
    if query.component is not None:
        chosen &= units.component == COMPONENTS.index(query.component)
    if query.product is not None:
        chosen &= units.product == PRODUCT_CODE[query.product]
    return chosen


def _cells(found: Stock, chosen: Flags) -> Iterator[StockCell]:
    units, rows = found.units, np.flatnonzero(chosen)
    banks = {bank.id: bank for bank in found.banks}
    cells = split(units.bank[rows], units.blood_group[rows], units.component[rows])
    for (bank_id, group, component), positions in cells.items():
        yield StockCell(
            bank_id=bank_id,
            bank=banks[bank_id].name,
            district=banks[bank_id].district,
            blood_group=BLOOD_GROUPS[group],
            component=COMPONENTS[component],
            **_counts(found, rows[positions]),
        )


def _totals(found: Stock, chosen: Flags) -> Iterator[StockTotal]:
    units, rows = found.units, np.flatnonzero(chosen)
    for (group, component), positions in split(units.blood_group[rows], units.component[rows]).items():
        yield StockTotal(
            blood_group=BLOOD_GROUPS[group], component=COMPONENTS[component], **_counts(found, rows[positions])
        )


def _counts(found: Stock, rows: Ints) -> dict[str, Any]:
    """Return the fields of `StockCounts` of some units, which are ordered by expiry."""
    available = rows[~found.units.reserved[rows]]
    expires_in = found.units.expires_in[available]
    within_1, within_3, within_7 = np.searchsorted(expires_in, (1.0, 3.0, 7.0), side="right").tolist()
    return {
        "available": len(available),
        "reserved": len(rows) - len(available),
        "expiring_in_1_day": within_1,
        "expiring_in_3_days": within_3,
        "expiring_in_7_days": within_7,
        "earliest_expiry": (
            datetime.fromtimestamp(found.units.expires_at[available[0]], UTC) if len(available) else None
        ),
    }


def _cover(query: StockQuery, found: Stock) -> Iterator[DistrictCover]:
    """Give the cover of each district with a bank, of the components that can be requested."""
    pools = available_pools(found.units)
    for pool in _pools(query, found):
        district, group, component = pool
        expires_in = found.units.expires_in[pools.get(pool, NO_ROWS)]
        if group == BOMBAY and not len(expires_in):
            continue
        yield DistrictCover(
            district=DISTRICTS[district].name,
            blood_group=BLOOD_GROUPS[group],
            component=REQUESTED[component],
            units=len(expires_in),
            compatible_units=compatible_units(pools, pool),
            **_days(found, pool, expires_in),
        )


def _pools(query: StockQuery, found: Stock) -> Iterable[Pool]:
    asked_for = query.component if query.product is None else PRODUCTS[query.product].component
    districts = sorted({DISTRICT_CODE[bank.district] for bank in found.banks})
    groups = range(len(BLOOD_GROUPS)) if query.blood_group is None else [GROUP_CODE[query.blood_group]]
    components = [code for code, name in enumerate(REQUESTED) if asked_for in {None, name}]
    return product(districts, groups, components)


def _days(found: Stock, pool: Pool, expires_in: Floats) -> dict[str, Any]:
    """Return the fields of `DistrictCover` that need the forecast."""
    district, group, component = pool
    expected = found.expected
    demand = None if expected is None else expected.demand(*pool)
    if expected is None or demand is None:
        reason = NO_BOMBAY if group == BOMBAY else found.no_forecast
        return {"days_of_cover": None, "at_least": False, "days_of_cover_if_high": None, "reason": reason}
    high = expected.high_demand(district, group) if component == Component.RED_CELLS else None
    cover = days_of_cover(demand, expires_in)
    return {
        "days_of_cover": cover.days,
        "at_least": cover.at_least,
        "days_of_cover_if_high": None if high is None else days_of_cover(high, expires_in).days,
        "reason": None,
    }
