"""What outreach planning is asked and answers."""

from datetime import datetime

from pydantic import BaseModel, Field

from backend.domains.blood.schemas import Input, Probability, RowId


class PlanRequest(Input):
    """Plan, or plan anew, whom to ask for a stored request."""

    request_id: RowId
    hold: bool = Field(
        default=True,
        description="Keep the donors of a wave that is due from other plans until the next look; false for a preview.",
    )


class StockLine(BaseModel):
    """Units in a bank within reach that may be given for the request."""

    bank_id: int
    bank: str
    distance_km: float
    blood_group: str
    units: int
    earliest_expiry: datetime


class StockFirst(BaseModel):
    """What the stock gives before any donor is asked."""

    usable_units: int = Field(description="Counted for the request; substitutes only when it is urgent or critical.")
    lines: list[StockLine]


class AskedSoFar(BaseModel):
    """What became of those who were asked for this request."""

    asked: int
    silent: int
    accepted: int
    declined: int
    donated: int
    out: int = Field(description="Accepted and will not donate: cancelled, did not come, was deferred.")


class PlannedDonor(BaseModel):
    """A donor to ask. Contact data are not part of it."""

    donor_id: int
    blood_group: str
    distance_km: float
    probability: Probability = Field(description="That this donor donates in time if asked then.")


class PlannedWave(BaseModel):
    """Donors to ask together, best first."""

    number: int
    at: datetime
    send: bool = Field(description="Due now. Later waves are a sketch: plan again when `look_again_at` comes.")
    searched_as: int = Field(description="Urgency as which the request searches then; it grows near the deadline.")
    radius_km: float
    donors: list[PlannedDonor]
    probability: Probability = Field(description="P(enough donations in time) once this wave is asked.")
    expected_donations: float = Field(description="In time, of all asked until then.")
    expected_overshoot: float = Field(description="Donations in time beyond the units wanted.")


class Exposure(BaseModel):
    """How unevenly the asks of 30 days fall on the eligible donors in reach: Gini coefficient, 0 evenly, 1 on one."""

    before: Probability | None = Field(description="Null when nobody was looked for.")
    after: Probability | None = Field(description="When all waves are sent.")


class PlanResult(BaseModel):
    """Whom to ask, and when. Nothing was sent: send the wave that is due and record what donors do."""

    request_id: int
    as_of: datetime
    deadline: datetime
    urgency: int
    units_required: int
    units_wanted: int = Field(description="From donors: those required less the usable stock.")
    stock: StockFirst
    asked: AskedSoFar
    probability: Probability = Field(description="P(enough donations in time) if nobody else is asked.")
    target: Probability
    reachable: Probability = Field(description="The same if everybody who may be asked now were.")
    escalate: bool = Field(description="Donors alone cannot be relied on: look for another source as well.")
    waves: list[PlannedWave]
    reason: str | None = Field(description="Code why nobody is to be asked now, null when a wave is due.")
    explanation: str
    look_again_at: datetime | None = Field(description="Plan again then, or when somebody who accepted drops out.")
    held_until: datetime | None = Field(description="Other plans leave the donors of the due wave alone until then.")
    exposure: Exposure
    policy: str = Field(description="Eligibility policy; provisional, the blood centre decides.")
    models: dict[str, str] = Field(description="Model versions used.")
