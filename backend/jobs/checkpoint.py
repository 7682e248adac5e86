"""How far a long job has come: written with each chunk of its work, read by its next attempt."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from backend.errors import LeaseLost
from backend.jobs.states import JobState
from backend.jobs.tables import JOB

_SAVE = (
    update(JOB)
    .where(JOB.c.id == bindparam("held_job"), JOB.c.attempt == bindparam("held_attempt"))
    .where(JOB.c.state == JobState.RUNNING)
    .values(checkpoint=bindparam("new_checkpoint"))
)


def save_checkpoint(session: Session, job_id: UUID, attempt: int, checkpoint: dict[str, Any]) -> None:
    """Write the checkpoint; the row stays locked until the transaction ends, so no other attempt begins meanwhile.

    Raises:
        LeaseLost: another attempt owns the job.
    """
    held = {"held_job": job_id, "held_attempt": attempt, "new_checkpoint": checkpoint}
    saved: CursorResult[Any] = session.execute(_SAVE, held)  # type: ignore[assignment] # an UPDATE gives a cursor result
    if saved.rowcount != 1:
        raise LeaseLost(f"attempt {attempt} of job {job_id} no longer owns it")
