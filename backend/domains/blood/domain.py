"""What the blood service declares."""

from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from backend.audit.retention import Retention
from backend.domains.blood.asks_lookup import asks_of_request
from backend.domains.blood.availability_jobs import (
    check_donors,
    predict_availability,
    predict_many_availabilities,
    predict_many_response_times,
    predict_response_time,
)
from backend.domains.blood.demand_jobs import forecast_demand
from backend.domains.blood.demand_lookup import demand_forecasts
from backend.domains.blood.demand_schemas import ForecastPage, ForecastQuery, ForecastRequest, ForecastResult
from backend.domains.blood.donor_schemas import AvailabilityResult, DonorsRequest, ResponseTimeResult
from backend.domains.blood.drift_jobs import measure_drift
from backend.domains.blood.drift_lookup import drift_report
from backend.domains.blood.drift_schemas import DriftPage, DriftQuery, DriftRequest, DriftResult
from backend.domains.blood.history_lookup import match_history
from backend.domains.blood.match_jobs import MODELS, POOL, check_match, match_donors
from backend.domains.blood.outcome_command import IMPORTER as OUTCOMES
from backend.domains.blood.outcome_command import record_outcomes
from backend.domains.blood.outcome_schemas import AsksPage, AsksQuery, OutcomesRequest, OutcomesResult
from backend.domains.blood.outreach_jobs import check_plan, plan_outreach
from backend.domains.blood.outreach_schemas import PlanRequest, PlanResult
from backend.domains.blood.reliability_jobs import check_rescore, rescore_reliability
from backend.domains.blood.resources import RESOURCES
from backend.domains.blood.schemas import (
    HistoryPage,
    HistoryQuery,
    MatchRequest,
    MatchResult,
    RescoreRequest,
    RescoreResult,
)
from backend.domains.blood.scorers import SCORERS
from backend.domains.blood.seed import seed
from backend.domains.blood.stock_jobs import review_stock
from backend.domains.blood.stock_lookup import stock, stock_alerts
from backend.domains.blood.stock_schemas import (
    AlertPage,
    AlertQuery,
    ReviewRequest,
    ReviewResult,
    StockPage,
    StockQuery,
)
from backend.domains.blood.tables import DemandForecast, DriftReport, MatchPrediction, StockAlert
from backend.domains.domain import Command, Domain, Lookup
from backend.errors import ChildLost, Unavailable
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.schedules.declaration import Schedule
from backend.security.permissions import Permission

MANY = 32  # small requests that one call of a model answers together

DOMAIN = Domain(
    name="blood",
    tables="backend.domains.blood.tables",
    job_kinds=(
        JobKind(
            name="blood.match",
            path="/match",
            summary="Rank the donors to ask for a blood request",
            request=MatchRequest,
            result=MatchResult,
            run=match_donors,
            checks=(check_match,),
            queue="interactive",
            timeout=10,
            retries=2,
        ),
        JobKind(
            name="blood.predict_availability",
            path="/predict_availability",
            summary="Say how likely donors accept if asked",
            request=DonorsRequest,
            result=AvailabilityResult,
            run=predict_availability,
            checks=(check_donors,),
            queue="interactive",
            timeout=30,
            retries=2,
            claims=MANY,
            run_many=predict_many_availabilities,
        ),
        JobKind(
            name="blood.predict_response_time",
            path="/predict_response_time",
            summary="Say when donors answer if asked",
            request=DonorsRequest,
            result=ResponseTimeResult,
            run=predict_response_time,
            checks=(check_donors,),
            queue="interactive",
            timeout=30,
            retries=2,
            claims=MANY,
            run_many=predict_many_response_times,
        ),
        JobKind(
            name="blood.plan_outreach",
            path="/requests/<int:request_id>/plan",
            summary="Plan whom to ask for a blood request, and when",
            request=PlanRequest,
            result=PlanResult,
            run=plan_outreach,
            checks=(check_plan,),
            queue="interactive",
            timeout=60,
            retries=5,
            retry_on=(Unavailable, IntegrityError),  # another plan took a donor at the same moment
        ),
        JobKind(
            name="blood.rescore_reliability",
            path="/rescore_reliability",
            summary="Score the reliability of every donor anew",
            permission=Permission.OPERATE,
            request=RescoreRequest,
            result=RescoreResult,
            run=rescore_reliability,
            checks=(check_rescore,),
            queue="batch",
            unique=Unique.KIND,
            timeout=1800,
            retries=5,
            # a donor deleted between the read and the write of a chunk: the next attempt no longer reads it
            retry_on=(Unavailable, IntegrityError),
        ),
        JobKind(
            name="blood.forecast_demand",
            path="/forecasts",
            summary="Forecast the units that will be requested",
            permission=Permission.OPERATE,
            request=ForecastRequest,
            result=ForecastResult,
            run=forecast_demand,
            queue="batch",
            unique=Unique.KIND,
            timeout=1800,
            retries=2,
            retry_on=(Unavailable, ChildLost),
        ),
        JobKind(
            name="blood.measure_drift",
            path="/drift",
            summary="Compare the asks of late with what the models were trained on",
            permission=Permission.OPERATE,
            request=DriftRequest,
            result=DriftResult,
            run=measure_drift,
            queue="batch",
            unique=Unique.KIND,
            timeout=1800,
            retries=2,
        ),
        JobKind(
            name="blood.review_stock",
            path="/stock/review",
            summary="Look at the stock and open, keep or close alerts",
            permission=Permission.OPERATE,
            request=ReviewRequest,
            result=ReviewResult,
            run=review_stock,
            queue="batch",
            unique=Unique.KIND,
            timeout=300,
            retries=2,
        ),
    ),
    resources=RESOURCES,
    scorers=SCORERS,
    lookups=(
        Lookup(
            name="blood.match_history",
            path="/predictions/history",
            summary="Read the saved matches of a blood request",
            permission=Permission.READ_RECORDS,
            query=HistoryQuery,
            result=HistoryPage,
            run=match_history,
        ),
        Lookup(
            name="blood.demand_forecasts",
            path="/forecasts",
            summary="Read the latest demand forecast",
            permission=Permission.READ_FIGURES,
            query=ForecastQuery,
            result=ForecastPage,
            run=demand_forecasts,
        ),
        Lookup(
            name="blood.drift_report",
            path="/drift",
            summary="Read the latest report of drift",
            permission=Permission.READ_FIGURES,
            query=DriftQuery,
            result=DriftPage,
            run=drift_report,
        ),
        Lookup(
            name="blood.stock",
            path="/stock",
            summary="Read the stock and how long it lasts",
            permission=Permission.READ_FIGURES,
            query=StockQuery,
            result=StockPage,
            run=stock,
        ),
        Lookup(
            name="blood.stock_alerts",
            path="/stock/alerts",
            summary="Read the alerts on shortage and expiry",
            permission=Permission.READ_FIGURES,
            query=AlertQuery,
            result=AlertPage,
            run=stock_alerts,
        ),
        Lookup(
            name="blood.asks",
            path="/requests/<int:request_id>/asks",
            summary="Read whom a request asked; contact data are masked until a donor accepted",
            permission=Permission.READ_RECORDS,
            query=AsksQuery,
            result=AsksPage,
            run=asks_of_request,
        ),
    ),
    commands=(
        Command(
            name="blood.outcomes",
            path="/outcomes",
            summary="Record what happened to asks: all events, or none",
            permission=Permission.WRITE_RECORDS,
            request=OutcomesRequest,
            result=OutcomesResult,
            run=record_outcomes,
        ),
    ),
    importers=(OUTCOMES,),
    schedules=(
        Schedule(name="nightly_reliability", kind="blood.rescore_reliability", cron="30 0 * * *"),
        Schedule(name="hourly_stock", kind="blood.review_stock", cron="10 * * * *", catch_up=timedelta(hours=1)),
        Schedule(name="nightly_drift", kind="blood.measure_drift", cron="0 3 * * *"),
        Schedule(name="weekly_forecasts", kind="blood.forecast_demand", cron="0 2 * * 0", catch_up=timedelta(days=2)),
    ),
    retentions=(
        Retention(table=MatchPrediction, time="at"),
        Retention(table=DriftReport, time="at"),
        Retention(table=StockAlert, time="closed_at"),  # an open alert has no such time and stays
        Retention(table=DemandForecast, time="made_at", protected=lambda cutoff: DemandForecast.day >= cutoff.date()),
    ),
    models=MODELS,
    preload=POOL.snapshot,
    seed=seed,
)
