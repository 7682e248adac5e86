"""Reading the latest demand forecast."""

from backend.domains.blood.demand_queries import forecast_rows, newest_run
from backend.domains.blood.demand_schemas import CellForecast, ForecastPage, ForecastQuery
from backend.errors import NotFound
from backend.extensions import transaction


def demand_forecasts(query: ForecastQuery) -> ForecastPage:
    """Return the latest forecast of the districts, groups and days asked for.

    Raises:
        NotFound: no forecast was made yet.
    """
    with transaction(read_only=True) as session:
        newest = newest_run(session)
        if newest is None:
            raise NotFound("forecast", "yet: POST /forecasts makes one")
        rows = forecast_rows(session, query, made_at=newest.made_at)
    return ForecastPage(
        made_at=newest.made_at,
        job_id=newest.job_id,
        forecasts=[CellForecast.model_validate(row, from_attributes=True) for row in rows],
    )
