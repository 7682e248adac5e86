"""Endpoints and deliveries as clients see and change them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.jobs.states import JobState
from backend.webhooks.addresses import LONGEST_URL

FinalState = Literal[JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED, JobState.DEAD]
Url = Annotated[str, Field(max_length=LONGEST_URL, examples=["https://hospital.example.org/hooks/sanguine"])]
Kinds = Annotated[list[str], Field(min_length=1, max_length=100, examples=[["blood.match"]])]
States = Annotated[list[FinalState], Field(min_length=1, max_length=5)]
Description = Annotated[str, Field(max_length=200)]


class EndpointNew(BaseModel):
    """An address to register."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    kinds: Kinds | None = Field(default=None, description="Kinds of jobs whose ends to tell; null: of all.")
    states: States | None = Field(default=None, description="Which ends to tell; null: all.")
    description: Description = ""


class EndpointPatch(BaseModel):
    """What to change; null for `kinds` or `states` means all."""

    model_config = ConfigDict(extra="forbid")

    url: Url = ""
    kinds: Kinds | None = None
    states: States | None = None
    description: Description = ""
    enabled: bool = True

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one of url, kinds, states, description, enabled")
        return self


class EndpointView(BaseModel):
    """A registered address."""

    model_config = ConfigDict(title="Webhook", from_attributes=True)

    id: UUID
    url: str
    kinds: list[str] | None = Field(description="Null: all kinds of jobs.")
    states: list[FinalState] | None = Field(description="Null: all final states.")
    description: str
    enabled: bool
    disabled_reason: str | None = Field(description="Why it was disabled without being asked to be.")
    created_at: datetime
    rotated_at: datetime | None = Field(description="When its secret was last replaced.")


class EndpointWithSecret(EndpointView):
    """A registered address with its secret, shown when it is new and never again."""

    model_config = ConfigDict(title="WebhookWithSecret")

    secret: str = Field(description="`whsec_` and a key in base64: verify the `v1` signatures with it.")


class EndpointList(BaseModel):
    """Every registered address, the oldest first."""

    webhooks: list[EndpointView]


class DeliveryState(StrEnum):
    """Where a message is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class AttemptView(BaseModel):
    """One attempt to deliver a message."""

    model_config = ConfigDict(title="WebhookAttempt")

    at: datetime
    status: int | None = Field(description="The HTTP status that was answered; null without an answer.")
    error: str | None = Field(description="Why it did not count; null for the attempt that delivered.")


class DeliveryView(BaseModel):
    """One message to one address."""

    model_config = ConfigDict(title="WebhookDelivery")

    id: UUID = Field(description="The `webhook-id`, the same in every attempt.")
    type: str
    state: DeliveryState
    job_id: UUID | None = Field(description="The job that it is about; null for a test.")
    delivery_job_id: UUID = Field(description="The latest job that delivers it.")
    created_at: datetime
    delivered_at: datetime | None
    next_try_at: datetime | None
    attempts: list[AttemptView]


class DeliveryPage(BaseModel):
    """Messages to one address, newest first."""

    deliveries: list[DeliveryView]
    next_before: datetime | None = Field(description="Pass as `before` to get the next page; null on the last one.")


class PublicKey(BaseModel):
    """The key of this installation."""

    model_config = ConfigDict(title="WebhookKey")

    public_key: str = Field(description="`whpk_` and an Ed25519 key in base64: verify the `v1a` signatures with it.")
