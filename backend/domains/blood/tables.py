"""The blood service's tables. `updated_at` is indexed because workers read what changed since they last looked."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, Date, Float, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.clock import utc_now
from backend.extensions import BigId, Table, UtcDateTime


class Donor(Table):
    """A registered donor. Contact data never leaves this table in a result."""

    __tablename__ = "donor"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    external_id: Mapped[str | None] = mapped_column(
        String(64), index=True, unique=True
    )  # what the service itself calls it
    name: Mapped[str | None] = mapped_column(String(200))
    phone: Mapped[str | None] = mapped_column(String(40))
    blood_group: Mapped[str] = mapped_column(String(3))
    sex: Mapped[str] = mapped_column(String(7))  # female, male, unknown
    born_on: Mapped[date] = mapped_column(Date)
    weight_kg: Mapped[float | None] = mapped_column(Float)
    hemoglobin_g_dl: Mapped[float | None] = mapped_column(Float)
    district: Mapped[str] = mapped_column(String(40))
    latitude: Mapped[float] = mapped_column(Float)
    longitude: Mapped[float] = mapped_column(Float)
    consented: Mapped[bool] = mapped_column(Boolean)
    deferred_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now, index=True)


class BloodRequest(Table):
    """A request for blood by a hospital."""

    __tablename__ = "blood_request"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    external_id: Mapped[str | None] = mapped_column(String(64), index=True, unique=True)
    hospital: Mapped[str | None] = mapped_column(String(200))
    district: Mapped[str] = mapped_column(String(40))
    latitude: Mapped[float] = mapped_column(Float)
    longitude: Mapped[float] = mapped_column(Float)
    blood_group: Mapped[str] = mapped_column(String(3))
    component: Mapped[str] = mapped_column(String(16))
    units_required: Mapped[int] = mapped_column(Integer)
    urgency: Mapped[int] = mapped_column(Integer)  # 1 routine to 4 critical
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    needed_by: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)


class Donation(Table):
    """A completed donation."""

    __tablename__ = "donation"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    external_id: Mapped[str | None] = mapped_column(String(64), index=True, unique=True)
    donor_id: Mapped[int] = mapped_column(ForeignKey("donor.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    component: Mapped[str] = mapped_column(String(16))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now, index=True)


class ContactOutcome(Table):
    """One time a donor was asked, and what came of it; each step has its own time, NULL until it happened."""

    __tablename__ = "contact_outcome"
    __table_args__ = (Index("ix_contact_outcome_request_id_donor_id", "request_id", "donor_id", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    donor_id: Mapped[int] = mapped_column(ForeignKey("donor.id", ondelete="CASCADE"), index=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("blood_request.id", ondelete="CASCADE"))
    distance_km: Mapped[float | None] = mapped_column(Float)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answer: Mapped[str | None] = mapped_column(String(16))  # accepted, declined
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    arrived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(
        String(20)
    )  # donated, deferred, no_show, late_cancel, request_cancelled
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now, index=True)


class DonorHold(Table):
    """A donor whom a plan means to ask soon, so that no other plan does: the cool-down before the ask is on record."""

    __tablename__ = "donor_hold"

    donor_id: Mapped[int] = mapped_column(
        ForeignKey("donor.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    request_id: Mapped[int] = mapped_column(ForeignKey("blood_request.id", ondelete="CASCADE"), index=True)
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class DonorReliability(Table):
    """How likely a donor comes after accepting, as last rescored; a donor has no row before the first rescoring."""

    __tablename__ = "donor_reliability"

    donor_id: Mapped[int] = mapped_column(
        ForeignKey("donor.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    as_of: Mapped[datetime] = mapped_column(UtcDateTime)  # what ended before this was seen
    mean: Mapped[float] = mapped_column(Float)  # of the posterior
    lower_10: Mapped[float] = mapped_column(Float)  # the posterior's 10 % quantile
    n: Mapped[float] = mapped_column(Float)  # commitments behind it, a year-old one counting half
    commitments: Mapped[int] = mapped_column(Integer)  # the same, each counting one
    model_version: Mapped[str] = mapped_column(String(64))


class MatchPrediction(Table):
    """One donor of one stored match, as it was answered."""

    __tablename__ = "match_prediction"
    __table_args__ = (
        UniqueConstraint("job_id", "rank"),
        Index("ix_match_prediction_request_id_id", "request_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    request_id: Mapped[int | None] = mapped_column(ForeignKey("blood_request.id", ondelete="CASCADE"))
    donor_id: Mapped[int] = mapped_column(ForeignKey("donor.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    rank: Mapped[int] = mapped_column(Integer)
    match_score: Mapped[float] = mapped_column(Float)
    match_score_low: Mapped[float] = mapped_column(Float)
    match_score_high: Mapped[float] = mapped_column(Float)
    availability_score: Mapped[float] = mapped_column(Float)
    response_time_hours: Mapped[float | None] = mapped_column(Float)
    reliability_score: Mapped[float] = mapped_column(Float)
    distance_km: Mapped[float] = mapped_column(Float)
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    model_version: Mapped[str] = mapped_column(String(64))


class DriftReport(Table):
    """How far one column of one model, or its output, lay from its reference in one look at the asks of late."""

    __tablename__ = "drift_report"
    __table_args__ = (UniqueConstraint("job_id", "model", "column"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)  # the same for all rows of a run
    model: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    column: Mapped[str] = mapped_column(String(64))  # "output" for what the model says
    n: Mapped[int] = mapped_column(Integer)  # asks looked at
    effect: Mapped[float | None] = mapped_column(Float)  # population stability index; NULL: too few asks
    p: Mapped[float | None] = mapped_column(Float)
    verdict: Mapped[str] = mapped_column(String(16))  # stable, drifted, too_few


class DemandForecast(Table):
    """Units forecast to be requested on one day in one district for one blood group; `all` is the sum over them."""

    __tablename__ = "demand_forecast"
    __table_args__ = (UniqueConstraint("job_id", "district", "blood_group", "day"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    district: Mapped[str] = mapped_column(String(40))
    blood_group: Mapped[str] = mapped_column(String(3))
    day: Mapped[date] = mapped_column(Date, index=True)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)  # the same for all rows of a run
    units: Mapped[float] = mapped_column(Float)
    low_80: Mapped[float] = mapped_column(Float)
    high_80: Mapped[float] = mapped_column(Float)
    low_95: Mapped[float] = mapped_column(Float)
    high_95: Mapped[float] = mapped_column(Float)
    model: Mapped[str] = mapped_column(String(200))  # methods whose average it is


class BloodBank(Table):
    """A place that keeps blood."""

    __tablename__ = "blood_bank"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    external_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    district: Mapped[str] = mapped_column(String(40))
    latitude: Mapped[float] = mapped_column(Float)
    longitude: Mapped[float] = mapped_column(Float)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)


class BloodUnit(Table):
    """One bag of blood, from collection to its end."""

    __tablename__ = "blood_unit"
    __table_args__ = (Index("ix_blood_unit_state_expires_at", "state", "expires_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    external_id: Mapped[str] = mapped_column(String(64), unique=True)  # the number on the bag
    bank_id: Mapped[int] = mapped_column(ForeignKey("blood_bank.id", ondelete="CASCADE"), index=True)
    blood_group: Mapped[str] = mapped_column(String(3))
    product: Mapped[str] = mapped_column(String(32))  # decides component and shelf life, shelf_lives.PRODUCTS
    collected_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(16))  # available, reserved, issued, discarded
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)


class StockAlert(Table):
    """A shortage or an expiry that somebody should act on; closed when a later look no longer finds it."""

    __tablename__ = "stock_alert"
    __table_args__ = (Index("ix_stock_alert_closed_at_opened_at", "closed_at", "opened_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # shortage, expiry
    level: Mapped[str] = mapped_column(String(16))  # warning, critical
    district: Mapped[str] = mapped_column(String(40))
    bank_id: Mapped[int | None] = mapped_column(ForeignKey("blood_bank.id", ondelete="CASCADE"))  # NULL: the district
    blood_group: Mapped[str] = mapped_column(String(3))
    component: Mapped[str] = mapped_column(String(16))
    units: Mapped[int] = mapped_column(Integer)  # usable, or about to expire
    days_of_cover: Mapped[float | None] = mapped_column(Float)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)  # the last look that found it
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
