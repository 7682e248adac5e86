"""The terms of a submission as HTTP says them: query parameters, the Idempotency-Key, and whose request it is."""

from collections.abc import Mapping

from flask import request
from pydantic import BaseModel, ConfigDict, Field

from backend.api.guard import current_principal
from backend.api.parse import query_as
from backend.errors import Overloaded, TooMany
from backend.jobs.keys import check_key
from backend.jobs.limits import current_limits
from backend.jobs.moments import Deadline
from backend.jobs.states import Priority, Urgency
from backend.jobs.submit import was_submitted
from backend.jobs.terms import Terms
from backend.webhooks.addresses import check_url

KEY_HEADER = "Idempotency-Key"


class TermsQuery(BaseModel):
    """What every submission may say of itself."""

    model_config = ConfigDict(extra="forbid")

    priority: Urgency = Field(
        default=Urgency.NORMAL, description="Who goes first; urgent jobs also interrupt long ones of their queue."
    )
    start_by: Deadline | None = Field(
        default=None, description="A moment or a duration (PT30S) after which the job is not begun any more."
    )
    finish_by: Deadline | None = Field(
        default=None, description="A moment or a duration (PT2M) after which no result is delivered any more."
    )
    callback: str | None = Field(
        default=None, max_length=2000, description="An https address that is told when the job has ended."
    )


def admitted(jobs: Mapping[str, int], *, besides: type[BaseModel] | None = None, low: bool = False) -> Terms:
    """Return the terms of this request, once so many jobs for each queue are let in.

    Args:
        jobs: how many jobs it submits to each queue.
        besides: what else may be in its query.
        low: whether it waits behind others unless it says otherwise.

    Raises:
        ValidationFailed: parameters or the key are wrong, or so many jobs are never let in at once.
        TooMany, Overloaded: it must wait.
    """
    query = query_as(TermsQuery, besides)
    if query.callback is not None:
        check_url(query.callback, field="callback")
    urgency = Urgency.LOW if low and "priority" not in query.model_fields_set else query.priority
    client = current_principal().account
    terms = Terms(
        client=client,
        key=request.headers.get(KEY_HEADER),
        priority=Priority[urgency.name],
        start_by=query.start_by,
        finish_by=query.finish_by,
        callback=query.callback,
    )
    if terms.key is not None:
        check_key(terms.key)  # before an upload comes in
    try:
        current_limits().admit(client, jobs)
    except (TooMany, Overloaded):
        if not was_submitted(terms):  # what is stored already needs no room
            raise
    return terms
