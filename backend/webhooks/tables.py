"""Who is told of the ends of jobs, and what was told to whom."""

from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, Uuid, true
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import Table, UtcDateTime


class WebhookEndpoint(Table):
    """A registered address. Its secret is derived from its id and `secret_version`, and stored nowhere."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    account: Mapped[str | None] = mapped_column(String(64))  # whose jobs it hears of; null: everybody's, of old
    url: Mapped[str] = mapped_column(String(2000))
    kinds: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # null: all kinds of jobs
    states: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # null: all final states
    description: Mapped[str] = mapped_column(String(200), default="", server_default="")
    enabled: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    disabled_reason: Mapped[str | None] = mapped_column(String(200))  # why it was disabled without being asked
    secret_version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WebhookDelivery(Table):
    """One message to one address; its id is the `webhook-id`, the same however often it is sent.

    Without an endpoint it goes to the callback of the job it is about; without a job it is a test.
    """

    __tablename__ = "webhook_delivery"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    endpoint_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(32))  # job.<final state>, or webhook.test
    job_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("job.id"), index=True)  # what it is about
    delivery_job_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("job.id"), index=True)  # the latest that delivers it
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)  # at, status, error; oldest first


Index("ix_webhook_delivery_endpoint_id", WebhookDelivery.endpoint_id, WebhookDelivery.created_at)

DELIVERY = cast("CoreTable", WebhookDelivery.__table__)
