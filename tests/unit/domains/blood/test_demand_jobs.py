"""The forecasting job on a real SQLite file: by the prior, as long as there is little history."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from pydantic import ValidationError
from sqlalchemy import delete

from backend.domains.blood.demand import DISTRICT_NAMES, GROUP_NAMES
from backend.domains.blood.demand_jobs import forecast_demand
from backend.domains.blood.demand_lookup import demand_forecasts
from backend.domains.blood.demand_schemas import ForecastQuery, ForecastRequest, ForecastResult
from backend.domains.blood.tables import BloodRequest
from backend.errors import NotFound
from backend.extensions import transaction
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.tables import Job

NOW = datetime(2026, 3, 4, 6, 0, tzinfo=UTC)  # half past eleven in Kochi
TODAY = date(2026, 3, 4)
HORIZON = 3


def request_units(units, *, district="Ernakulam", blood_group="O+", days_ago=1.0, **changes) -> None:
    at = NOW - timedelta(days=days_ago)
    place = {"latitude": 10.0, "longitude": 76.3, "component": "red_cells", "urgency": 2}
    values = {"district": district, "blood_group": blood_group, "units_required": units, "created_at": at}
    with transaction() as session:
        session.add(BloodRequest(**(place | values | changes)))


def forecast(app: Flask, *, now: datetime = NOW) -> ForecastResult:
    job_id = uuid4()
    with transaction() as session:
        session.add(
            Job(id=job_id, kind="a", queue="batch", request={}, max_attempts=1, created_at=now, available_at=now)
        )
    context = JobContext(job_id=job_id, models=RecordingModels(app.extensions["models"]), clock=lambda: now)
    result = forecast_demand(ForecastRequest(horizon_days=HORIZON), context)
    with transaction() as session:
        session.add_all(context.stored)
    return result


def read(**query):
    return demand_forecasts(ForecastQuery.model_validate(query))


def test_a_new_service_gets_what_population_and_group_shares_say(blood_app: Flask):
    result = forecast(blood_app)
    assert (result.source, result.history_days, result.backtest) == ("prior", 0, None)
    assert result.no_backtest is not None
    assert (result.first_day, result.last_day) == (TODAY, TODAY + timedelta(days=HORIZON - 1))
    large, small = read(district="Malappuram", blood_group="O+"), read(district="Wayanad", blood_group="AB-")
    assert large.forecasts[0].units > 100 * small.forecasts[0].units


def test_little_history_moves_the_prior(blood_app: Flask):
    before = forecast(blood_app).state[0].units
    for days_ago in range(1, 21):
        request_units(2, days_ago=days_ago)
    after = forecast(blood_app, now=NOW + timedelta(minutes=1))
    assert after.source == "prior"
    assert after.history_days == 20
    assert after.state[0].units < before / 10, "two units a day are not all of Kerala"
    assert read(district="Ernakulam", blood_group="O+").forecasts[0].units == pytest.approx(2.0, rel=0.5)


def test_cancelled_requests_were_demand_and_other_components_and_bombay_are_not_forecast(blood_app: Flask):
    request_units(5, days_ago=2)
    plain = forecast(blood_app).state[0].units
    request_units(9, component="platelets")
    request_units(9, blood_group="Oh")
    assert forecast(blood_app, now=NOW + timedelta(minutes=1)).state[0].units == plain
    with transaction() as session:
        session.execute(delete(BloodRequest))
    request_units(5, days_ago=2, cancelled_at=NOW)
    assert forecast(blood_app, now=NOW + timedelta(minutes=2)).state[0].units == plain


def test_the_latest_run_is_read_by_district_group_and_day(blood_app: Flask):
    forecast(blood_app)
    forecast(blood_app, now=NOW + timedelta(hours=1))
    page = read()
    assert page.made_at == NOW + timedelta(hours=1)
    assert isinstance(page.job_id, UUID)
    assert len(page.forecasts) == len(DISTRICT_NAMES) * len(GROUP_NAMES) * HORIZON
    (tomorrow,) = read(district="all", blood_group="all", **{"from": "2026-03-05", "to": "2026-03-05"}).forecasts
    assert tomorrow.day == date(2026, 3, 5)
    by_district = read(blood_group="all", **{"from": "2026-03-05", "to": "2026-03-05"}).forecasts
    assert [one.district for one in by_district] == sorted(DISTRICT_NAMES)
    assert tomorrow.units == pytest.approx(sum(one.units for one in by_district))


def test_before_the_first_forecast_there_is_none(blood_app: Flask):
    assert blood_app
    with pytest.raises(NotFound, match="POST /forecasts"):
        read()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"district": "Atlantis"}, "unknown district; one of Thiruvananthapuram"),
        ({"blood_group": "C+"}, "unknown blood group; one of O-"),
        ({"from": "2026-03-05", "to": "2026-03-04"}, "`to` lies before `from`"),
        ({"from": "soon"}, "from"),
        ({"horizon": "3"}, "horizon"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(query: dict[str, str], reason: str):
    with pytest.raises(ValidationError, match=reason):
        ForecastQuery.model_validate(query)


@pytest.mark.parametrize("horizon", [0, 91, 5000])
def test_a_horizon_out_of_range_is_refused(horizon: int):
    with pytest.raises(ValidationError, match="horizon_days"):
        ForecastRequest(horizon_days=horizon)
