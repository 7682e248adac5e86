"""The job that forecasts demand: chosen, calibrated and judged by the service's own history, or by a prior without."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from math import isnan
from typing import Any, Final
from uuid import UUID

import numpy as np

from backend.domains.blood.demand import (
    ALL,
    CellOutlook,
    cold_forecast,
    daily_panel,
    kerala_holidays,
    outlooks,
    with_cold_cells,
)
from backend.domains.blood.demand_queries import read_requested
from backend.domains.blood.demand_schemas import Accuracy, BacktestReport, DayForecast, ForecastRequest, ForecastResult
from backend.domains.blood.forecasting.evaluation import Backtest, Scores, backtest
from backend.domains.blood.forecasting.forecaster import Forecast, days_needed, fit
from backend.domains.blood.forecasting.panel import Days, Panel
from backend.domains.blood.geography import TIME_ZONE
from backend.domains.blood.local_days import FIRST, local_days
from backend.domains.blood.tables import DemandForecast
from backend.jobs.child import in_child
from backend.jobs.context import JobContext

HISTORY_DAYS: Final = 8 * 7  # with fewer days of requests the prior speaks
ORIGINS: Final = 12  # of the backtest, a week apart or more


def forecast_demand(request: ForecastRequest, context: JobContext) -> ForecastResult:
    """Forecast the units requested from today on for every district and blood group, and store them."""
    made_at = context.clock()
    days = local_days(TIME_ZONE)
    today = int(days.day_of(np.array([made_at.timestamp()]))[0])
    with context.read() as session:
        requested = read_requested(session, before=made_at)
    panel = daily_panel(requested, days=days, today=today)
    horizon = request.horizon_days
    if panel is not None and len(panel.days) >= max(HISTORY_DAYS, days_needed(horizon)):
        # Fitting cannot look up for minutes: in a process of its own a cancel ends it at once.
        forecast, report, reason = in_child(context, by_history, panel, horizon)
        source = "history"
    else:
        forecast, report = cold_forecast(panel, first_day=np.datetime64(FIRST, "D") + today, horizon=horizon), None
        source, reason = "prior", f"there are fewer than {max(HISTORY_DAYS, days_needed(horizon))} days of requests"
    said = list(outlooks(forecast))
    context.store(*_rows(said, forecast.days, made_at=made_at, job_id=context.job_id))
    return ForecastResult(
        made_at=made_at,
        first_day=forecast.days[0].item(),
        last_day=forecast.days[-1].item(),
        source=source,
        history_days=0 if panel is None else len(panel.days),
        models=dict(Counter(one.model for one in said if ALL not in one[:2])),
        state=[DayForecast(**day) for day in _days(said[-1], forecast.days)],
        backtest=report,
        no_backtest=reason,
    )


def by_history(
    panel: Panel, horizon: int, *, progress: Callable[[float, str], None]
) -> tuple[Forecast, BacktestReport | None, str | None]:
    """Return the forecast, and how the same method would have done on earlier days or why that cannot be said."""
    calendar = kerala_holidays(panel.days[0].item().year, panel.days[-1].item().year + 1)
    fitted = fit(panel, horizon=horizon, calendar=calendar, progress=_part(progress, 0.0, 0.3))
    forecast = with_cold_cells(fitted, panel)
    spare = len(panel.days) - horizon - days_needed(horizon)
    if spare < 0:
        return forecast, None, f"{len(panel.days)} days of requests are too few to judge {horizon} days"
    judged = backtest(
        panel,
        horizon=horizon,
        origins=min(ORIGINS, 1 + spare // 7),
        calendar=calendar,
        progress=_part(progress, 0.3, 1.0),
    )
    return forecast, _report(judged), None


def _part(progress: Callable[[float, str], None], start: float, end: float) -> Callable[[float, str], None]:
    return lambda fraction, note: progress(start + (end - start) * fraction, note)


def _report(judged: Backtest) -> BacktestReport:
    return BacktestReport(
        model=_accuracy(judged.model),
        state=_accuracy(judged.total),
        baselines={name: _accuracy(scores) for name, scores in judged.baselines.items()},
        horizon_days=judged.horizon,
        origins=judged.origins.tolist(),
    )


def _accuracy(scores: Scores) -> Accuracy:
    return Accuracy(**{name: None if isnan(value) else value for name, value in asdict(scores).items()})


def _rows(said: list[CellOutlook], days: Days, *, made_at: datetime, job_id: UUID) -> list[DemandForecast]:
    return [
        DemandForecast(
            job_id=job_id, made_at=made_at, district=one.district, blood_group=one.blood_group, model=one.model, **day
        )
        for one in said
        for day in _days(one, days)
    ]


def _days(one: CellOutlook, days: Days) -> Iterator[dict[str, Any]]:
    columns = (days.tolist(), one.mean.tolist(), *one.lower.tolist(), *one.upper.tolist())
    for day, units, low_80, low_95, high_80, high_95 in zip(*columns, strict=True):
        yield {"day": day, "units": units, "low_80": low_80, "high_80": high_80, "low_95": low_95, "high_95": high_95}
