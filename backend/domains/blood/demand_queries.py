"""The SQL of demand: units requested by day, forecasts written and read."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.domains.blood.demand import ALL, CELLS, DISTRICT_NAMES, GROUP_NAMES, Requested
from backend.domains.blood.demand_schemas import ForecastQuery
from backend.domains.blood.queries import epoch
from backend.domains.blood.tables import BloodRequest, DemandForecast


def read_requested(session: Session, *, before: datetime) -> Requested:
    """Return the red-cell units requested before a moment; those cancelled later were demand on their day as well."""
    rows = session.execute(
        select(
            epoch(BloodRequest.created_at),
            BloodRequest.district,
            BloodRequest.blood_group,
            BloodRequest.units_required,
        )
        .where(BloodRequest.component == "red_cells", BloodRequest.created_at < before)
        .where(BloodRequest.district.in_(DISTRICT_NAMES), BloodRequest.blood_group.in_(GROUP_NAMES))
    ).all()
    code = {cell: position for position, cell in enumerate(CELLS)}
    return Requested(
        at=np.array([row[0] for row in rows], dtype=np.float64),
        cell=np.array([code[str(row[1]), row[2]] for row in rows], dtype=np.int64),
        units=np.array([row[3] for row in rows], dtype=np.float64),
    )


def forecast_rows(session: Session, query: ForecastQuery, *, made_at: datetime) -> Sequence[DemandForecast]:
    """Return the rows that `query` asks for of the run made at a moment."""
    found = select(DemandForecast).where(DemandForecast.made_at == made_at)
    for column, wanted in ((DemandForecast.district, query.district), (DemandForecast.blood_group, query.blood_group)):
        found = found.where(column != ALL if wanted is None else column == wanted)
    if query.from_ is not None:
        found = found.where(DemandForecast.day >= query.from_)
    if query.to is not None:
        found = found.where(DemandForecast.day <= query.to)
    return session.scalars(
        found.order_by(DemandForecast.district, DemandForecast.blood_group, DemandForecast.day)
    ).all()


def newest_run(session: Session) -> DemandForecast | None:
    """Return any row of the latest run."""
    return session.scalar(select(DemandForecast).order_by(DemandForecast.made_at.desc()).limit(1))
