"""What the stock's reads and its review accept and answer."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backend.domains.blood.schemas import BloodGroupName, ComponentName, DistrictName, Input, Probability, RowId
from backend.domains.blood.shelf_lives import PRODUCTS
from backend.domains.blood.stock_alerts import AlertKind, Level

StockComponent = Literal["red_cells", "plasma", "platelets", "whole_blood", "cryoprecipitate"]


def _known_product(value: str) -> str:
    if value not in PRODUCTS:
        raise ValueError(f"unknown product; one of {', '.join(PRODUCTS)}")
    return value


ProductName = Annotated[str, AfterValidator(_known_product), Field(json_schema_extra={"enum": list(PRODUCTS)})]


class StockQuery(Input):
    """Which part of the stock to read."""

    bank_id: RowId | None = Field(default=None, description="Cover is that of the bank's district all the same.")
    district: DistrictName | None = None
    blood_group: BloodGroupName | None = None
    component: StockComponent | None = None
    product: ProductName | None = Field(default=None, description="Cover counts all products of the component.")

    @model_validator(mode="after")
    def _one_component(self) -> Self:
        if self.component is not None and self.product is not None:
            kept = PRODUCTS[self.product].component
            if kept != self.component:
                raise ValueError(f"product {self.product} is {kept}, not {self.component}")
        return self


class StockCounts(BaseModel):
    """Units that have not expired."""

    available: int
    reserved: int = Field(description="Promised to somebody; they count nowhere else.")
    expiring_in_1_day: int = Field(description="Of the available ones.")
    expiring_in_3_days: int
    expiring_in_7_days: int
    earliest_expiry: datetime | None = Field(description="Of the available ones; null when there is none.")


class StockCell(StockCounts):
    """Units of one blood group and component in one bank."""

    bank_id: int
    bank: str
    district: str
    blood_group: str
    component: StockComponent = Field(description="`whole_blood` and `cryoprecipitate` cannot be requested.")


class StockTotal(StockCounts):
    """Units of one blood group and component in all banks of the answer."""

    blood_group: str
    component: StockComponent


class DistrictCover(BaseModel):
    """How long the available units of one district last, none being donated; only the identical blood group counts."""

    district: str
    blood_group: str
    component: ComponentName
    units: int
    days_of_cover: float | None = Field(
        description="Days until the expected demand of a day is not met in full, those that expire first being used "
        "first and those that expire unused being gone."
    )
    at_least: bool = Field(description="The forecast ends before the units do: cover is this long or longer.")
    days_of_cover_if_high: float | None = Field(
        description="The same if the demand of every day were the upper limit of its 80 % interval; red cells only, "
        "because the others have no intervals. No probability of shortage is given: limits of days do not add up."
    )
    compatible_units: int = Field(
        description="Available units of any group that this group may be given, its own included; others need them too."
    )
    reason: str | None = Field(description="Why cover is not known.")


class StockPage(BaseModel):
    """The stock at this moment."""

    at: datetime
    forecast_made_at: datetime | None
    component_shares: dict[str, Probability] | None = Field(
        description="Shares of the units requested in the last 90 days. The forecast is of red cells; plasma and "
        "platelets are taken to be asked for in proportion to it."
    )
    cells: list[StockCell]
    totals: list[StockTotal]
    cover: list[DistrictCover] = Field(description="For the districts that have a blood bank.")
    reason: str | None = Field(description="Why there is nothing.")


class ReviewRequest(Input):
    """Look at the whole stock and open, keep or close alerts."""


class ReviewResult(BaseModel):
    """What a review found."""

    at: datetime
    banks: int
    units: int = Field(description="Available units that have not expired.")
    opened: int
    kept: int
    closed: int
    not_judged: int = Field(description="Open shortages about which nothing can be said; they stay as they are.")
    reason: str | None = Field(description="Why there was nothing to look at, or shortages were not judged.")


class AlertQuery(Input):
    """Which alerts to read."""

    kind: AlertKind | None = None
    level: Level | None = None
    district: DistrictName | None = None
    closed: bool = Field(default=False, description="Those that are closed in place of those that are open.")
    limit: int = Field(default=100, ge=1, le=1000)
    before_id: RowId | None = Field(default=None, description="Only alerts opened before this one.")


class Alert(BaseModel):
    """A shortage in a district, or units of a bank that will expire unused."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    kind: AlertKind
    level: Level
    district: str
    bank_id: int | None = Field(description="Null: the whole district.")
    blood_group: str
    component: StockComponent
    units: int = Field(description="Units that are there (shortage), or that will expire unused (expiry).")
    days_of_cover: float | None
    opened_at: datetime
    seen_at: datetime = Field(description="The last review that found it.")
    closed_at: datetime | None


class AlertPage(BaseModel):
    """Alerts, newest first."""

    alerts: list[Alert]
    next_before_id: int | None
