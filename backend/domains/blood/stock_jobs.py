"""The job that looks at the whole stock and opens, keeps or closes alerts."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Final, NamedTuple, cast

from sqlalchemy.orm import Session

from backend.domains.blood.demand import GROUP_NAMES
from backend.domains.blood.geography import DISTRICT_CODE, DISTRICTS
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component
from backend.domains.blood.shelf_lives import COMPONENTS
from backend.domains.blood.stock import NO_ROWS, available_pools, days_of_cover, split
from backend.domains.blood.stock_alerts import (
    COVER_LIMITS,
    AlertKey,
    AlertKind,
    Finding,
    Level,
    can_judge_shortage,
    expiring_units,
    expiry_level,
    shortage_level,
    unused_units,
)
from backend.domains.blood.stock_queries import NO_BANKS, Stock, lock_banks, open_alerts, read_stock
from backend.domains.blood.stock_schemas import ReviewRequest, ReviewResult
from backend.domains.blood.tables import StockAlert
from backend.jobs.context import JobContext

Levels = Mapping[AlertKey, Level]  # of the alerts that are open
Findings = dict[AlertKey, Finding | None]  # None: nothing can be said, an open alert stays as it is

TOO_SHORT: Final = "the forecast ends too soon to say how long plasma lasts"


class _Changes(NamedTuple):
    """How many alerts were opened, seen again, closed, and left as they were."""

    opened: int
    kept: int
    closed: int
    not_judged: int


def review_stock(_request: ReviewRequest, context: JobContext) -> ReviewResult:
    """Compare all stock with the forecast, and write `stock_alert`; a repeated review changes nothing but `seen_at`."""
    at = context.clock()
    with context.read() as session:
        stock = read_stock(session, at=at)
        levels = {_key(alert): _level(alert) for alert in open_alerts(session)}
    context.progress(0.3, f"{len(stock.units.bank):,} units")
    findings: Findings = dict(_shortages(stock, levels)) | dict(_expiries(stock, levels))
    with context.commit({"at": at.isoformat()}) as session:
        changes = _write(session, findings, at=at)
    return ReviewResult(
        at=at,
        banks=len(stock.banks),
        units=int((~stock.units.reserved).sum()),
        reason=_why_nothing(stock, findings),
        **changes._asdict(),
    )


def _why_nothing(stock: Stock, findings: Findings) -> str | None:
    if not stock.banks:
        return NO_BANKS
    return stock.no_forecast or TOO_SHORT if None in findings.values() else None


def _shortages(stock: Stock, levels: Levels) -> Iterator[tuple[AlertKey, Finding | None]]:
    """Give the blood groups and components that districts with a bank are short of, or cannot be judged by."""
    pools = available_pools(stock.units)
    for district in sorted({bank.district for bank in stock.banks}):
        for group, component in product(GROUP_NAMES, COVER_LIMITS):
            key = AlertKey("shortage", district, None, group, component)
            pool = (DISTRICT_CODE[district], GROUP_CODE[group], COMPONENTS.index(component))
            demand = None if stock.expected is None else stock.expected.demand(*pool)
            if demand is None or not can_judge_shortage(demand, component):
                yield key, None
                continue
            expires_in = stock.units.expires_in[pools.get(pool, NO_ROWS)]
            level = shortage_level(demand, expires_in, component, before=levels.get(key))
            if level is not None:
                yield key, Finding(level, len(expires_in), days_of_cover(demand, expires_in).days)


def _expiries(stock: Stock, levels: Levels) -> Iterator[tuple[AlertKey, Finding]]:
    """Give the banks with units that will expire before anybody in their district needs them."""
    units = stock.units
    for pool, rows in available_pools(units).items():
        district, group, component = pool
        requestable = component < len(Component)
        demand = stock.expected.demand(*pool) if stock.expected is not None and requestable else None
        wasted = unused_units(demand, units.expires_in[rows])
        for (bank_id,), places in split(units.bank[rows]).items():
            name = COMPONENTS[component]
            key = AlertKey("expiry", DISTRICTS[district].name, bank_id, BLOOD_GROUPS[group], name)
            parts = wasted[places], units.expires_in[rows[places]], name
            level = expiry_level(*parts, forecast=demand is not None, before=levels.get(key))
            if level is not None:
                yield key, Finding(level, expiring_units(*parts), None)


def _write(session: Session, findings: Findings, *, at: datetime) -> _Changes:
    """Open, update and close alerts; what is open is read anew, because another review may have ended meanwhile."""
    banks = lock_banks(session)
    before = {_key(alert): alert for alert in open_alerts(session)}
    found = {
        key: finding
        for key, finding in findings.items()
        if finding is not None and (key.bank_id is None or key.bank_id in banks)
    }
    for key, finding in found.items():
        alert = before.get(key)
        if alert is None:
            session.add(StockAlert(**key._asdict(), **finding._asdict(), opened_at=at, seen_at=at))
        else:
            alert.level, alert.units, alert.days_of_cover, alert.seen_at = *finding, at
    over = [alert for key, alert in before.items() if key not in findings]
    for alert in over:
        alert.closed_at = at
    kept = len(found.keys() & before.keys())
    not_judged = len(before) - kept - len(over)
    return _Changes(opened=len(found) - kept, kept=kept, closed=len(over), not_judged=not_judged)


def _key(alert: StockAlert) -> AlertKey:
    kind = cast("AlertKind", alert.kind)
    return AlertKey(kind, alert.district, alert.bank_id, alert.blood_group, alert.component)


def _level(alert: StockAlert) -> Level:
    return cast("Level", alert.level)
