"""What can be asked about single donors, stored or given in the request, and what is answered."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from backend.domains.blood.schemas import (
    BloodGroupName,
    ComponentName,
    InlineRequest,
    Input,
    MatchReason,
    Probability,
    RowId,
)
from backend.jobs.moments import Day, Moment

MOST_DONORS = 1_000
MOST_EVENTS = 500
REFERENCE_KM = 10.0

AnswerName = Literal["accepted", "declined"]
OutcomeName = Literal["donated", "deferred", "no_show", "late_cancel", "request_cancelled"]


class PastDonation(Input):
    """One donation."""

    at: Moment
    component: ComponentName = "red_cells"


class PastAsk(Input):
    """One time the donor was asked, and what came of it; leave out what did not happen."""

    asked_at: Moment
    answer: AnswerName | None = None
    answered_at: Moment | None = None
    outcome: OutcomeName | None = Field(default=None, description="How an accepted commitment ended.")
    ended_at: Moment | None = None

    @model_validator(mode="after")
    def _each_step_has_its_time(self) -> Self:
        if (self.answer is None) != (self.answered_at is None):
            raise ValueError("answer and answered_at belong together")
        if (self.outcome is None) != (self.ended_at is None):
            raise ValueError("outcome and ended_at belong together")
        if self.outcome is not None and self.answer != "accepted":
            raise ValueError("only an accepted ask has an outcome")
        times = [at for at in (self.asked_at, self.answered_at, self.ended_at) if at is not None]
        if times != sorted(times):
            raise ValueError("asked_at, answered_at and ended_at must follow one another")
        return self


class InlineDonor(Input):
    """A donor who is not stored: the same facts, from which the same features are computed."""

    blood_group: BloodGroupName
    latitude: float = Field(ge=-90.0, le=90.0)
    longitude: float = Field(ge=-180.0, le=180.0)
    born_on: Day
    sex: Literal["female", "male", "unknown"] = "unknown"
    weight_kg: float | None = Field(default=None, gt=0.0, le=400.0)
    hemoglobin_g_dl: float | None = Field(default=None, gt=0.0, le=30.0)
    registered_at: Moment | None = Field(
        default=None, description="Without it, the first event given counts, or the moment asked about."
    )
    consented: bool = True
    deferred_until: Moment | None = None
    donations: tuple[PastDonation, ...] = Field(default=(), max_length=MOST_EVENTS)
    asks: tuple[PastAsk, ...] = Field(default=(), max_length=MOST_EVENTS)

    @property
    def born_at(self) -> datetime:
        """The birthday's first moment in UTC, as the database counts it."""
        return datetime.combine(self.born_on, time.min, UTC)


def _id_or_donor(value: object) -> str:
    return "donor" if isinstance(value, (dict, InlineDonor)) else "id"


Subject = Annotated[Annotated[RowId, Tag("id")] | Annotated[InlineDonor, Tag("donor")], Discriminator(_id_or_donor)]
"""A stored donor's id or a donor given here; told apart first, so that an error speaks of the one that was meant."""


class DonorsRequest(Input):
    """About whom: one stored donor, one donor given here, or a list of both; and on which occasion."""

    donor_id: RowId | None = None
    donor: InlineDonor | None = None
    donors: tuple[Subject, ...] | None = Field(
        default=None, min_length=1, max_length=MOST_DONORS, description="Ids of stored donors, or donors given here."
    )
    at: Moment | None = Field(
        default=None,
        description=(
            "The moment of the ask; now without it. A past one sees nothing that happened then or later. A future one, "
            "up to 30 days ahead, assumes that nothing happens until then."
        ),
    )
    request: InlineRequest | None = Field(
        default=None,
        description=(
            f"What the donor is asked for. Without it: one unit of red cells for somebody of the donor's own group, "
            f"{REFERENCE_KM:g} km away, urgency 2, no time stated."
        ),
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(given is not None for given in (self.donor_id, self.donor, self.donors)) != 1:
            raise ValueError("give one of donor_id, donor and donors")
        return self

    @property
    def subjects(self) -> tuple[int | InlineDonor, ...]:
        """The donors asked about, in order."""
        if self.donors is not None:
            return self.donors
        return tuple(subject for subject in (self.donor_id, self.donor) if subject is not None)


class NotEligible(BaseModel):
    """One reason why the donor may not be asked, and the day it ends; null where no date settles it."""

    code: str
    text: str
    ends_on: date | None


class DonorStanding(BaseModel):
    """Who it is, and whether the donor may be asked at all. Contact data are not part of it."""

    place: int = Field(description="Position in the request, from 0.")
    donor_id: int | None = Field(description="Null for a donor given in the request.")
    eligible: bool = Field(description="May be asked at that moment. Provisional: the blood centre decides.")
    eligible_on: date | None = Field(
        description="First day on which the donor may be asked; null if no date can be given."
    )
    not_eligible: list[NotEligible]
    unchecked: list[str] = Field(description="Criteria that could not be checked, for want of a value as of then.")
    asks: int = Field(description="Earlier asks that the answer rests on; with none it rests on similar donors.")


class Interval(BaseModel):
    """A range and how often it holds."""

    low: Probability
    high: Probability


class DonorAvailability(DonorStanding):
    """How likely one donor accepts."""

    availability_probability: Probability = Field(
        description="Probability that the donor may be asked and accepts: 0 when not eligible at that moment."
    )
    acceptance_probability: Probability = Field(
        description="Probability that the donor accepts if asked, eligible or not."
    )
    is_likely_available: bool = Field(description="Whether availability_probability is at least one half.")
    confidence: Probability = Field(
        description=(
            "Calibrated probability that is_likely_available turns out right: availability_probability when it is "
            "true, one minus that when it is false. How well the donor is known is said by the interval, not by this."
        )
    )
    interval: Interval = Field(
        description=(
            "Where this donor's own probability of accepting one such request lies, at the level given beside: how far "
            "the rate at such a score is known, how much requests differ, and how much donors do who were asked as "
            "often. Widest, in logits, for a donor never asked."
        )
    )
    reasons: list[MatchReason]


class _Answers(BaseModel):
    at: datetime
    policy: str = Field(description="Eligibility policy; provisional, the blood centre decides.")
    models: dict[str, str] = Field(description="Model versions used.")


class AvailabilityResult(_Answers):
    """One answer a donor, in the order asked."""

    donors: list[DonorAvailability]
    interval_level: Probability


class AnsweredWithin(BaseModel):
    """One point of the curve."""

    hours: float
    probability: Probability


class DonorResponseTime(DonorStanding):
    """When one donor answers, yes or no, if asked; also said of a donor who may not be asked (`eligible`)."""

    answered_within: list[AnsweredWithin] = Field(
        description="P(answers within so many hours of the ask), until an answer no longer helps."
    )
    median_hours: float | None = Field(
        description="Hours within which half of such donors who answer at all have answered."
    )


class ResponseTimeResult(_Answers):
    """One answer a donor, in the order asked."""

    donors: list[DonorResponseTime]
    horizon_hours: float = Field(description="An answer helps within so many hours; the curve ends there.")
