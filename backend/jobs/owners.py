"""Whose jobs are whose: a job, its result and its files are their submitter's, and those who may see all."""

from uuid import UUID

from sqlalchemy import bindparam, func, select

from backend.errors import NotFound
from backend.extensions import transaction
from backend.jobs.tables import JOB

_WHOLE = JOB.alias()
_OF_JOB = (
    select(func.coalesce(_WHOLE.c.client, JOB.c.client))
    .outerjoin(_WHOLE, _WHOLE.c.id == JOB.c.parent_id)
    .where(JOB.c.id == bindparam("id"))
)
_OF_BULK = select(JOB.c.client).where(JOB.c.bulk_id == bindparam("id")).limit(1)


def require_job_of(account: str, job_id: UUID) -> None:
    """See that an account submitted a job, or the one that it is a part of.

    Raises:
        NotFound: it did not, or there is no such job; nobody can tell which.
    """
    with transaction(read_only=True) as session:
        if session.scalar(_OF_JOB, {"id": job_id}) != account:
            raise NotFound("job", job_id)


def require_bulk_of(account: str, bulk_id: UUID) -> None:
    """See that an account submitted a bulk.

    Raises:
        NotFound: as `require_job_of`.
    """
    with transaction(read_only=True) as session:
        if session.scalar(_OF_BULK, {"id": bulk_id}) != account:
            raise NotFound("bulk", bulk_id)
