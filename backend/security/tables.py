"""Accounts, and what proves that somebody speaks for one. No row holds a secret that could be used."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Integer, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from backend.extensions import Table, UtcDateTime


class Account(Table):
    """A person or a program. It is never deleted, because records say who did things; it is disabled."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(String(255))  # null: it comes with keys only
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(64))
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_logins: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # since the last that succeeded
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApiKey(Table):
    """A key of an account; what is kept of its secret is an HMAC-SHA256."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    permissions: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # null: all of the account's role
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # to the minute
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Login(Table):
    """One login of a person, from the password to the logout; its refresh tokens follow one another."""

    __tablename__ = "login"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"), index=True)
    refresh_digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the token that is valid now
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    refreshed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_because: Mapped[str | None] = mapped_column(String(100))
