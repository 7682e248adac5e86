"""The SQL of the stock: banks and units, what is expected to be asked for, alerts, and units near a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from backend.domains.blood.demand import ALL
from backend.domains.blood.demand_queries import newest_run
from backend.domains.blood.geography import DISTRICT_CODE, DISTRICTS, TIME_ZONE, distance_km
from backend.domains.blood.local_days import FIRST, SECONDS_PER_DAY, local_days
from backend.domains.blood.queries import COMPONENT_CODE, epoch
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component, Floats
from backend.domains.blood.rules import compatible_groups, substitution_costs
from backend.domains.blood.shelf_lives import COMPONENTS, PRODUCTS
from backend.domains.blood.stock import Expected, Units, component_shares
from backend.domains.blood.stock_schemas import AlertQuery
from backend.domains.blood.tables import BloodBank, BloodRequest, BloodUnit, DemandForecast, StockAlert

SHARES_OF: Final = timedelta(days=90)  # requests that say which components are asked for
NO_BANKS: Final = "there is no blood bank here yet: enter some with POST /banks and /units, or import them"

PRODUCT_CODE: Final = {name: code for code, name in enumerate(PRODUCTS)}
_COMPONENT_OF: Final = np.array([COMPONENTS.index(kept.component) for kept in PRODUCTS.values()], dtype=np.int8)
_COLUMNS: Final = [
    ("bank", "i8"),
    ("district", "i1"),
    ("blood_group", "i1"),
    ("product", "i1"),
    ("reserved", "?"),
    ("expires_at", "f8"),
]


@dataclass(frozen=True, slots=True)
class Stock:
    """What is there at a moment, and what is expected to be asked for; without a forecast, why there is none."""

    at: datetime
    banks: Sequence[BloodBank]
    units: Units
    expected: Expected | None
    no_forecast: str | None


class UsableUnits(NamedTuple):
    """Units of one blood group in one bank that can be given now."""

    bank_id: int
    name: str
    distance_km: float
    blood_group: str
    units: int
    earliest_expiry: datetime


def read_stock(session: Session, *, at: datetime, district: str | None = None) -> Stock:
    """Return the banks of the state, or of a district, their units and the latest forecast as seen at a moment."""
    inside = BloodBank.district.in_(DISTRICT_CODE) if district is None else BloodBank.district == district
    expected, no_forecast = _read_expected(session, at=at)
    return Stock(
        at=at,
        banks=session.scalars(select(BloodBank).where(inside).order_by(BloodBank.id)).all(),
        units=_read_units(session, inside, at=at),
        expected=expected,
        no_forecast=no_forecast,
    )


def find_bank(session: Session, bank_id: int) -> BloodBank | None:
    """Return a blood bank."""
    return session.get(BloodBank, bank_id)


def _read_units(session: Session, inside: ColumnElement[bool], *, at: datetime) -> Units:
    query = (
        select(
            BloodUnit.bank_id,
            case(DISTRICT_CODE, value=BloodBank.district),
            case(GROUP_CODE, value=BloodUnit.blood_group),
            case(PRODUCT_CODE, value=BloodUnit.product),
            BloodUnit.state == "reserved",
            epoch(BloodUnit.expires_at),
        )
        .join(BloodBank, BloodBank.id == BloodUnit.bank_id)
        .where(inside, BloodUnit.state.in_(("available", "reserved")), BloodUnit.expires_at > at)
        .where(BloodUnit.blood_group.in_(BLOOD_GROUPS), BloodUnit.product.in_(PRODUCTS))
        .order_by(BloodUnit.expires_at, BloodUnit.bank_id, BloodUnit.id)
    )
    rows = np.array([tuple(row) for row in session.execute(query)], dtype=_COLUMNS)
    return Units(
        bank=rows["bank"],
        district=rows["district"],
        blood_group=rows["blood_group"],
        product=rows["product"],
        component=_COMPONENT_OF[rows["product"]],
        reserved=rows["reserved"],
        expires_at=rows["expires_at"],
        expires_in=(rows["expires_at"] - at.timestamp()) / SECONDS_PER_DAY,
    )


def _read_expected(session: Session, *, at: datetime) -> tuple[Expected | None, str | None]:
    """Return the latest forecast from now on, or why there is none."""
    newest = newest_run(session)
    if newest is None:
        return None, "there is no forecast yet: POST /forecasts makes one"
    calendar = local_days(TIME_ZONE)
    today = int(calendar.day_of(np.array([at.timestamp()]))[0])
    first = FIRST + timedelta(days=today)
    rows = session.execute(
        select(
            DemandForecast.district,
            DemandForecast.blood_group,
            DemandForecast.day,
            DemandForecast.units,
            DemandForecast.high_80,
        )
        .where(DemandForecast.made_at == newest.made_at, DemandForecast.day >= first)
        .where(DemandForecast.district != ALL, DemandForecast.blood_group != ALL)
    ).all()
    if not rows:
        return None, f"the forecast of {newest.made_at:%Y-%m-%d} has run out: POST /forecasts makes a new one"
    days = 1 + (max(row.day for row in rows) - first).days
    mean = np.full((len(DISTRICTS), len(BLOOD_GROUPS), days), np.nan)
    high = mean.copy()
    for row in rows:
        cell = DISTRICT_CODE[row.district], GROUP_CODE[row.blood_group], (row.day - first).days
        mean[cell], high[cell] = row.units, row.high_80
    midnights = (calendar.begins(today + np.arange(days + 1)) - at.timestamp()) / SECONDS_PER_DAY
    shares = component_shares(_requested_by_component(session, at=at))
    return Expected.of(made_at=newest.made_at, midnights=midnights, mean=mean, high=high, shares=shares), None


def _requested_by_component(session: Session, *, at: datetime) -> Floats:
    """Return the units (3,) of each component requested in the last `SHARES_OF`; cancelled ones were demand as well."""
    found = session.execute(
        select(BloodRequest.component, func.sum(BloodRequest.units_required))
        .where(BloodRequest.created_at >= at - SHARES_OF, BloodRequest.created_at < at)
        .where(BloodRequest.component.in_(COMPONENT_CODE))
        .group_by(BloodRequest.component)
    )
    units = np.zeros(len(Component))
    for component, requested in found:
        units[COMPONENT_CODE[component]] = requested
    return units


def usable_units(
    session: Session,
    *,
    component: str,
    blood_group: str,
    latitude: float,
    longitude: float,
    radius_km: float,
    at: datetime,
) -> list[UsableUnits]:
    """Return the units within `radius_km` (degrees in) that may be given to a recipient of `blood_group` at a moment.

    The identical group comes first, then what costs others least, then what is nearest.
    """
    kind, recipient = Component(COMPONENT_CODE[component]), GROUP_CODE[blood_group]
    suitable = [BLOOD_GROUPS[code] for code in np.flatnonzero(compatible_groups(recipient, kind))]
    products = [name for name, kept in PRODUCTS.items() if kept.component == component]
    rows = session.execute(
        select(
            BloodBank.id,
            BloodBank.name,
            BloodBank.latitude,
            BloodBank.longitude,
            BloodUnit.blood_group,
            func.count(),
            func.min(BloodUnit.expires_at),
        )
        .join(BloodUnit, BloodUnit.bank_id == BloodBank.id)
        .where(BloodUnit.state == "available", BloodUnit.expires_at > at)
        .where(BloodUnit.product.in_(products), BloodUnit.blood_group.in_(suitable))
        .group_by(BloodBank.id, BloodBank.name, BloodBank.latitude, BloodBank.longitude, BloodUnit.blood_group)
    ).all()
    away = distance_km(
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array([row[3] for row in rows], dtype=np.float64),
        latitude,
        longitude,
    ).tolist()
    found = [
        UsableUnits(bank_id, name, distance, group, units, expiry)
        for (bank_id, name, _, _, group, units, expiry), distance in zip(rows, away, strict=True)
        if distance <= radius_km
    ]
    cost = substitution_costs(recipient, kind)

    def order(one: UsableUnits) -> tuple[bool, float, float, int]:
        return one.blood_group != blood_group, cost[GROUP_CODE[one.blood_group]], one.distance_km, one.bank_id

    return sorted(found, key=order)


def lock_banks(session: Session) -> set[int]:
    """Lock all banks until the transaction ends, so that two reviews do not open the same alert; return their ids."""
    return set(session.scalars(select(BloodBank.id).order_by(BloodBank.id).with_for_update(key_share=True)))


def open_alerts(session: Session) -> Sequence[StockAlert]:
    """Return the alerts that are not closed."""
    return session.scalars(select(StockAlert).where(StockAlert.closed_at.is_(None))).all()


def alert_rows(session: Session, query: AlertQuery) -> Sequence[StockAlert]:
    """Return the alerts that `query` asks for, newest first, and one more than its limit if there are more."""
    closed = StockAlert.closed_at.is_not(None) if query.closed else StockAlert.closed_at.is_(None)
    found = select(StockAlert).where(closed)
    for column, wanted in (
        (StockAlert.kind, query.kind),
        (StockAlert.level, query.level),
        (StockAlert.district, query.district),
    ):
        if wanted is not None:
            found = found.where(column == wanted)
    if query.before_id is not None:
        found = found.where(StockAlert.id < query.before_id)
    return session.scalars(found.order_by(StockAlert.id.desc()).limit(query.limit + 1)).all()
