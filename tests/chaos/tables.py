"""What jobs of the chaos run leave behind; no unique constraint, so that an effect applied twice is seen."""

from uuid import UUID

from sqlalchemy import Integer, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class ChaosTable(DeclarativeBase):
    """Base of these tables: not among the application's own, which migrations are compared with."""


class Effect(ChaosTable):
    """Stored with the result of a job."""

    __tablename__ = "chaos_effect"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    attempt: Mapped[int] = mapped_column(Integer)


class Chunk(ChaosTable):
    """Stored with a checkpoint of a long job."""

    __tablename__ = "chaos_chunk"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    number: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
