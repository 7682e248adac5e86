"""What the blood service's API accepts and answers; one schema validates, is stored and is documented."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backend.domains.blood.geography import DISTRICTS
from backend.domains.blood.records import BLOOD_GROUPS
from backend.jobs.moments import Moment

LARGEST_TOP_K = 500


def _known_group(value: str) -> str:
    if value not in BLOOD_GROUPS:
        raise ValueError(f"unknown blood group; one of {', '.join(BLOOD_GROUPS)}")
    return value


def _known_district(value: str) -> str:
    names = [district.name for district in DISTRICTS]
    if value not in names:
        raise ValueError(f"unknown district; one of {', '.join(names)}")
    return value


BloodGroupName = Annotated[
    str, AfterValidator(_known_group), Field(json_schema_extra={"enum": list(BLOOD_GROUPS)}, examples=["B+"])
]
DistrictName = Annotated[str, AfterValidator(_known_district)]
ComponentName = Literal["red_cells", "plasma", "platelets"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Input(BaseModel):
    """What callers send: nothing unknown is taken, and nothing is changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InlineRequest(Input):
    """A request for blood that is not stored."""

    blood_group: BloodGroupName
    latitude: float = Field(ge=-90.0, le=90.0, description="Where the donation is needed, degrees north.")
    longitude: float = Field(ge=-180.0, le=180.0, description="Degrees east.")
    urgency: int = Field(default=2, ge=1, le=4, description="1 routine, 2 soon, 3 urgent, 4 critical.")
    units_required: int = Field(default=1, ge=1, le=20)
    component: ComponentName = "red_cells"
    needed_by: Moment | None = Field(
        default=None, description="When the donation must have happened; without it the urgency's horizon applies."
    )


class MatchRequest(Input):
    """Which donors to ask for a request: a stored one by id, or one given here."""

    request_id: RowId | None = None
    request: InlineRequest | None = None
    top_k: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_TOP_K,
        description="Donors to return; without it as many as the urgency and the units call for.",
    )
    radius_km: float | None = Field(
        default=None, gt=0.0, le=500.0, description="Largest distance; without it the urgency's radius applies."
    )
    save_predictions: bool = Field(default=False, description="Keep the ranked donors for GET /predictions/history.")

    @model_validator(mode="after")
    def _one_request(self) -> Self:
        if (self.request_id is None) == (self.request is None):
            raise ValueError("give either request_id or request")
        return self


class MatchReason(BaseModel):
    """What moved a donor's score, in log-odds against the average donor asked."""

    feature: str
    value: float | None
    contribution: float


class DonorMatch(BaseModel):
    """One donor worth asking. Contact data are not part of it."""

    rank: int
    donor_id: int
    blood_group: str
    distance_km: float
    match_score: Probability = Field(description="Calibrated probability that this donor donates in time if asked.")
    match_score_low: Probability = Field(description="Lower end of the interval for donors with such a score.")
    match_score_high: Probability = Field(description="Upper end of it.")
    availability_score: Probability = Field(description="Probability that the donor accepts if asked now.")
    response_time_hours: float | None = Field(
        description="Hours within which half of such donors who answer at all have answered."
    )
    reliability_score: Probability = Field(description="Probability that the donor comes after accepting.")
    reasons: list[MatchReason]


class AskPlan(BaseModel):
    """How many of the ranked donors to ask."""

    donors: int = Field(
        description="Ask this many from the top; all considered, at most 2,000, when the target is not reached."
    )
    pool: int = Field(description="Donors that could be asked.")
    probability: Probability = Field(description="P(at least units_required donations in time) when they are asked.")
    target: Probability
    reached: bool


class MatchResult(BaseModel):
    """The donors to ask, best first."""

    matches: list[DonorMatch]
    ask: AskPlan
    reason: str | None = Field(description="Why there is no match, null when there is one.")
    excluded: dict[str, int] = Field(description="Donors that were not considered, by reason.")
    blood_group: str
    component: str
    urgency: int
    units_required: int
    horizon_hours: float = Field(description="In time means within so many hours of being asked.")
    radius_km: float
    interval_level: Probability
    policy: str = Field(description="Eligibility policy; provisional, the blood centre decides.")
    as_of: datetime
    models: dict[str, str] = Field(description="Model versions used.")
    saved: bool


class RescoreRequest(Input):
    """Score the reliability of every donor anew."""

    as_of: Moment | None = Field(
        default=None, description="See what ended before this moment; without it, before the job first ran."
    )


class RescoreResult(BaseModel):
    """What a rescoring did; the scores are in the table `donor_reliability`."""

    as_of: datetime
    donors: int = Field(description="Donors scored, each once, also when the job was interrupted and went on.")
    with_commitments: int = Field(description="Those of them with a commitment that counts; the others get the prior.")
    models: dict[str, str] = Field(description="Model versions used.")


class HistoryQuery(Input):
    """Whose saved predictions to read."""

    request_id: RowId
    limit: int = Field(default=100, ge=1, le=1000)
    before_id: RowId | None = Field(default=None, description="Only predictions saved before this one.")


class SavedPrediction(DonorMatch):
    """One ranked donor as it was answered at the time."""

    id: int
    job_id: UUID
    at: datetime
    model_version: str


class HistoryPage(BaseModel):
    """Saved predictions, newest first."""

    predictions: list[SavedPrediction]
    next_before_id: int | None
