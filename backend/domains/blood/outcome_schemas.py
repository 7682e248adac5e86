"""What is recorded of asks, and how the asks of a request are shown."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field, model_validator

from backend.domains.blood.donor_schemas import AnswerName, OutcomeName
from backend.domains.blood.outcomes import AskEvent
from backend.domains.blood.resource_schemas import ExternalId, Happened
from backend.domains.blood.schemas import Input, RowId
from backend.jobs.moments import Moment

MOST_EVENTS = 1_000
FARTHEST_KM = 20_037.5  # half the Earth's circumference

Name = int | str | None
"""A donor or a request as a caller names it: by our id (int) or by an external id (str)."""


class OutcomeEvent(Input):
    """One thing that happened between a donor and a request, each by our id or by yours."""

    request_id: RowId | None = None
    request_external_id: ExternalId | None = None
    donor_id: RowId | None = None
    donor_external_id: ExternalId | None = None
    event: AskEvent
    at: Happened
    distance_km: float | None = Field(
        default=None,
        ge=0.0,
        le=FARTHEST_KM,
        allow_inf_nan=False,
        description="Only of 'asked': from the donor to the place of donation; computed from both places without it.",
    )
    deferred_until: Moment | None = Field(
        default=None,
        description=(
            "Only of 'deferred': the donor is not asked before. Taken when the event is first recorded, and only "
            "if the donor is not deferred for longer already; later changes are made at the donor."
        ),
    )

    @model_validator(mode="after")
    def _one_ask(self) -> Self:
        if (self.donor_id is None) == (self.donor_external_id is None):
            raise ValueError("give either donor_id or donor_external_id")
        if (self.request_id is None) == (self.request_external_id is None):
            raise ValueError("give either request_id or request_external_id")
        if self.distance_km is not None and self.event is not AskEvent.ASKED:
            raise ValueError("distance_km belongs to 'asked' only")
        if self.deferred_until is not None and self.event is not AskEvent.DEFERRED:
            raise ValueError("deferred_until belongs to 'deferred' only")
        if self.deferred_until is not None and self.deferred_until <= self.at:
            raise ValueError("deferred_until must be later than at")
        return self

    @property
    def donor(self) -> Name:
        """The donor as named here."""
        return self.donor_id if self.donor_id is not None else self.donor_external_id

    @property
    def request(self) -> Name:
        """The request as named here."""
        return self.request_id if self.request_id is not None else self.request_external_id


class OutcomesRequest(Input):
    """Events, in the order in which they build on one another."""

    events: list[OutcomeEvent] = Field(min_length=1, max_length=MOST_EVENTS)


class EventCounts(BaseModel):
    """What became of the events of one kind."""

    recorded: int
    unchanged: int = Field(description="On record already.")


class OutcomesResult(BaseModel):
    """What was recorded; all of it, or nothing."""

    events: dict[AskEvent, EventCounts] = Field(description="By kind, those that were sent.")
    donations: int = Field(
        description="Donations entered because of 'donated'; none for a donor who has one on that local day."
    )


class AsksQuery(Input):
    """Whose asks to read."""

    request_id: RowId
    after_id: int = Field(default=0, ge=0, le=2**63 - 1, description="Only asks recorded after this one.")
    limit: int = Field(default=100, ge=1, le=1000)


class RecordedAsk(BaseModel):
    """One donor asked, and what came of it."""

    id: int
    donor_id: int
    name: str | None = Field(description="Initials only unless `revealed`.")
    phone: str | None = Field(description="The last two digits only unless `revealed`.")
    revealed: bool = Field(
        description=(
            "The donor accepted and may be contacted: until the commitment ends, and 24 hours longer if the donor "
            "came; without an outcome, until 24 hours after the deadline. Never after a withdrawn consent, a broken "
            "commitment or a cancelled request."
        )
    )
    distance_km: float | None
    asked_at: datetime
    delivered_at: datetime | None
    seen_at: datetime | None
    answer: AnswerName | None
    answered_at: datetime | None
    arrived_at: datetime | None
    outcome: OutcomeName | None
    ended_at: datetime | None


class AsksSummary(BaseModel):
    """How far the donors asked for a request have come."""

    asked: int
    answered: int
    accepted: int
    arrived: int = Field(description="On record as arrived, or as having donated.")
    donated: int


class AsksPage(BaseModel):
    """Asks of one request, in the order recorded."""

    summary: AsksSummary = Field(description="Of all asks of the request, whatever the page.")
    asks: list[RecordedAsk]
    next_after_id: int | None = Field(description="Pass as `after_id` for the next page; null on the last one.")
