"""What demand forecasts accept and answer."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from backend.domains.blood.demand import ALL, DISTRICT_NAMES, GROUP_NAMES
from backend.domains.blood.schemas import Input

LONGEST_HORIZON = 90


def _one_of(what: str, names: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"unknown {what}; one of {', '.join(names)}")
        return value

    return AfterValidator(check)


class ForecastRequest(Input):
    """Forecast the red-cell units that will be requested, from today on, in every district for every blood group."""

    horizon_days: int = Field(default=30, ge=1, le=LONGEST_HORIZON)


class DayForecast(BaseModel):
    """Units requested on one day: the mean, and limits that hold 80 and 95 of 100 such days."""

    day: date
    units: float
    low_80: float
    high_80: float
    low_95: float
    high_95: float


class Accuracy(BaseModel):
    """How one method did on days that it had not seen; null where nothing could be judged."""

    mase: float | None = Field(description="Mean absolute error over that of repeating the last week, by series.")
    wape: float | None = Field(description="Sum of absolute errors over the sum of units.")
    pinball: float | None = Field(description="Mean quantile loss, scaled as `mase` is.")
    coverage_80: float | None = Field(description="Share of days within the limits that should hold 80 %.")
    coverage_95: float | None


class BacktestReport(BaseModel):
    """What the same method would have said at earlier days, beside what it has to beat."""

    model: Accuracy
    state: Accuracy = Field(description="The sum of all districts and groups, with its intervals from sample paths.")
    baselines: dict[str, Accuracy]
    horizon_days: int
    origins: list[date] = Field(description="First days of the forecasts that were judged.")


class ForecastResult(BaseModel):
    """What a forecast run did; its rows are read with GET /forecasts."""

    made_at: datetime
    first_day: date
    last_day: date
    source: Literal["history", "prior"] = Field(
        description="`prior` while there are too few days of requests to choose and calibrate a method by them."
    )
    history_days: int
    models: dict[str, int] = Field(description="How many series each method, or average of methods, forecasts.")
    state: list[DayForecast] = Field(description="All districts and groups together.")
    backtest: BacktestReport | None
    no_backtest: str | None = Field(description="Why there is no backtest.")


class ForecastQuery(Input):
    """Which rows of the latest forecast to read."""

    district: Annotated[str, _one_of("district", (*DISTRICT_NAMES, ALL))] | None = Field(
        default=None, description=f"`{ALL}` is the sum over districts; without it, each district."
    )
    blood_group: Annotated[str, _one_of("blood group", (*GROUP_NAMES, ALL))] | None = Field(
        default=None, description=f"`{ALL}` is the sum over blood groups; without it, each group."
    )
    from_: date | None = Field(default=None, alias="from", description="First day; a local date.")
    to: date | None = Field(default=None, description="Last day.")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            raise ValueError("`to` lies before `from`")
        return self


class CellForecast(DayForecast):
    """One day of one district and blood group, or of a sum of them."""

    district: str
    blood_group: str
    model: str


class ForecastPage(BaseModel):
    """The latest forecast, by district, blood group and day."""

    made_at: datetime
    job_id: UUID
    forecasts: list[CellForecast]
