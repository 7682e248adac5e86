"""The records a blood service brings: donors, requests, donations, banks and units, as they are sent and shown."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from backend.clock import utc_now
from backend.domains.blood.contact_masking import mask_name, mask_phone
from backend.domains.blood.schemas import BloodGroupName, ComponentName, DistrictName, Input, RowId
from backend.domains.blood.shelf_lives import PRODUCTS
from backend.jobs.moments import Day, Moment

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours another system's clock may be."""

EARLIEST_BIRTH = date(1900, 1, 1)
SexName = Literal["female", "male", "unknown"]
UnitState = Literal["available", "reserved", "issued", "discarded"]


def _happened(value: datetime) -> datetime:
    if value > utc_now() + CLOCK_SKEW:
        raise ValueError("lies in the future")
    return value


def _born(value: date) -> date:
    if value > datetime.now(UTC).date():
        raise ValueError("lies in the future")
    if value < EARLIEST_BIRTH:
        raise ValueError(f"lies before {EARLIEST_BIRTH.year}")
    return value


def _known_product(value: str) -> str:
    if value not in PRODUCTS:
        raise ValueError(f"unknown product; one of {', '.join(PRODUCTS)}")
    return value


def _plain_text(value: str) -> str:
    if value.startswith(("=", "+", "-", "@")):
        raise ValueError("begins like a spreadsheet formula")
    if not value.isprintable():
        raise ValueError("contains control characters")
    return value


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_plain_text)
]
ExternalId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/:#-]{0,63}$"),
    Field(
        description="What the service itself calls it: letters, digits and . _ / : # - , at most 64.", examples=["D-17"]
    ),
]
Phone = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9 ()/-]{3,30}$")]
Happened = Annotated[Moment, AfterValidator(_happened)]
Latitude = Annotated[float, Field(ge=-90.0, le=90.0, description="Degrees north.")]
Longitude = Annotated[float, Field(ge=-180.0, le=180.0, description="Degrees east.")]
Product = Annotated[str, AfterValidator(_known_product), Field(json_schema_extra={"enum": list(PRODUCTS)})]


class NewDonor(Input):
    """A donor."""

    external_id: ExternalId
    name: Text | None = None
    phone: Phone | None = None
    blood_group: BloodGroupName
    sex: SexName = "unknown"
    born_on: Annotated[Day, AfterValidator(_born)]
    weight_kg: float | None = Field(default=None, gt=0.0, le=400.0)
    hemoglobin_g_dl: float | None = Field(default=None, gt=0.0, le=30.0)
    district: DistrictName | None = Field(default=None, description="Without it, the one whose centre is nearest.")
    latitude: Latitude
    longitude: Longitude
    consented: bool = Field(description="Agreed to be contacted; nobody is matched who did not.")
    deferred_until: Moment | None = None
    registered_at: Happened | None = Field(default=None, description="Without it, now.")


class NewRequest(Input):
    """A request for blood by a hospital."""

    external_id: ExternalId
    hospital: Text | None = None
    district: DistrictName
    latitude: Latitude
    longitude: Longitude
    blood_group: BloodGroupName
    component: ComponentName = "red_cells"
    units_required: int = Field(default=1, ge=1, le=20)
    urgency: int = Field(default=2, ge=1, le=4, description="1 routine, 2 soon, 3 urgent, 4 critical.")
    created_at: Happened | None = Field(default=None, description="Without it, now.")
    needed_by: Moment | None = Field(
        default=None, description="When the donation must have happened; without it the urgency's horizon applies."
    )
    cancelled_at: Happened | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.needed_by is not None and self.created_at is not None and self.needed_by <= self.created_at:
            raise ValueError("needed_by must be later than created_at")
        return self


class NewDonation(Input):
    """A completed donation; the donor by our id or by yours."""

    external_id: ExternalId
    donor_id: RowId | None = None
    donor_external_id: ExternalId | None = None
    at: Happened
    component: ComponentName = "red_cells"

    @model_validator(mode="after")
    def _one_donor(self) -> Self:
        if (self.donor_id is None) == (self.donor_external_id is None):
            raise ValueError("give either donor_id or donor_external_id")
        return self


class NewBank(Input):
    """A place that keeps blood."""

    external_id: ExternalId
    name: Text
    district: DistrictName
    latitude: Latitude
    longitude: Longitude


class NewUnit(Input):
    """One bag of blood; the bank by our id or by yours."""

    external_id: ExternalId = Field(description="The number on the bag.")
    bank_id: RowId | None = None
    bank_external_id: ExternalId | None = None
    blood_group: BloodGroupName
    product: Product
    collected_at: Happened
    expires_at: Moment | None = Field(
        default=None, description="Without it, the product's shelf life after collection; it cannot be later."
    )
    state: UnitState = "available"

    @model_validator(mode="after")
    def _one_bank_and_shelf_life(self) -> Self:
        if (self.bank_id is None) == (self.bank_external_id is None):
            raise ValueError("give either bank_id or bank_external_id")
        # A label runs to the end of its day, and irradiation, which shortens a life, may come late in it.
        latest = self.collected_at + timedelta(days=PRODUCTS[self.product].days + 1)
        if self.expires_at is not None and not self.collected_at < self.expires_at <= latest:
            raise ValueError("expires_at must lie within the product's shelf life after collected_at")
        return self


class _Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    external_id: str | None
    updated_at: datetime


class DonorRecord(_Record):
    """A donor; name and phone are masked, see GET /requests/<id>/asks for those who accepted."""

    name: Annotated[str | None, BeforeValidator(mask_name)]
    phone: Annotated[str | None, BeforeValidator(mask_phone)]
    blood_group: str
    sex: str
    born_on: date
    weight_kg: float | None
    hemoglobin_g_dl: float | None
    district: str
    latitude: float
    longitude: float
    consented: bool
    deferred_until: datetime | None
    registered_at: datetime


class RequestRecord(_Record):
    """A request for blood."""

    hospital: str | None
    district: str
    latitude: float
    longitude: float
    blood_group: str
    component: str
    units_required: int
    urgency: int
    created_at: datetime
    needed_by: datetime | None
    cancelled_at: datetime | None


class DonationRecord(_Record):
    """A completed donation."""

    donor_id: int
    at: datetime
    component: str


class BankRecord(_Record):
    """A place that keeps blood."""

    name: str
    district: str
    latitude: float
    longitude: float


class UnitRecord(_Record):
    """One bag of blood."""

    bank_id: int
    blood_group: str
    product: str
    collected_at: datetime
    expires_at: datetime
    state: str


class _Filters(Input):
    external_id: ExternalId | None = None


class DonorFilters(_Filters):
    """Which donors."""

    blood_group: BloodGroupName | None = None
    district: DistrictName | None = None


class RequestFilters(_Filters):
    """Which requests."""

    blood_group: BloodGroupName | None = None
    district: DistrictName | None = None
    urgency: int | None = Field(default=None, ge=1, le=4)


class DonationFilters(_Filters):
    """Which donations."""

    donor_id: RowId | None = None


class BankFilters(_Filters):
    """Which banks."""

    district: DistrictName | None = None


class UnitFilters(_Filters):
    """Which units."""

    bank_id: RowId | None = None
    blood_group: BloodGroupName | None = None
    product: Product | None = None
    state: UnitState | None = None
