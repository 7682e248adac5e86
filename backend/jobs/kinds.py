"""What a domain declares to have a job: its schemas, its function and its limits."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from backend.errors import NotServed, Unavailable
from backend.extensions import current
from backend.security.permissions import Permission

if TYPE_CHECKING:
    from backend.jobs.context import JobContext
    from backend.jobs.parts import Parts

QUEUES = ("interactive", "batch", "outbound")


class Unique(StrEnum):
    """What may be unfinished once at a time."""

    KIND = "kind"  # one job of the kind, whatever it is asked
    REQUEST = "request"  # one job of the kind for each request


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One kind of job. The submit route, its documentation, the Celery task and its routing are derived from it.

    `run(request, context)` gets a validated request and returns a `result`; it neither knows nor cares that Celery
    called it, and it may run more than once, so what it wants stored goes through `context.store`.

    `run_many(requests, contexts)` answers several at once; all contexts share one `models`. What it answers with None,
    and all of them when it raises, is run by itself, where each ends with the error that is its own.
    """

    name: str  # "domain.verb", also the Celery task's name
    path: str | None  # below the API prefix, may name fields of the request as <int:field>; None: no route of its own
    summary: str
    request: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[Any, "JobContext"], "BaseModel | Parts"]
    timeout: float  # seconds one attempt may take
    queue: str = "interactive"
    retries: int = 0  # further attempts after a transient error or a lost worker
    retry_on: tuple[type[Exception], ...] = (Unavailable,)
    backoff: tuple[float, ...] = ()  # seconds until the attempt after the 1st, 2nd …; otherwise 2, 4, 8 … up to 300
    claims: int = 1  # queued jobs of this kind that one ring may claim at once
    run_many: Callable[[Sequence[Any], Sequence["JobContext"]], Sequence[BaseModel | None]] | None = None
    unique: Unique | None = None  # a second one is the first one again, or refused when it asks something else
    permission: Permission = Permission.PREDICT  # what submitting one takes
    replayable: bool = True  # the stored request is all that it needs; not so with the upload of a file
    checks: tuple[Callable[[Any], None], ...] = ()  # raise ValidationFailed or NotFound before anything is stored

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"job kind {self.name!r}: the name must read domain.verb")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError(f"job kind {self.name}: the path {self.path!r} must start with /")
        if self.queue not in QUEUES:
            raise ValueError(f"job kind {self.name}: unknown queue {self.queue!r}; one of {', '.join(QUEUES)}")
        if self.timeout <= 0 or self.retries < 0 or self.claims < 1:
            raise ValueError(f"job kind {self.name}: timeout > 0, retries >= 0 and claims >= 1 are needed")

    @property
    def max_attempts(self) -> int:
        """Attempts before the job is dead."""
        return self.retries + 1


def current_kinds() -> Mapping[str, JobKind]:
    """Return the job kinds of the current application by name."""
    return cast("Mapping[str, JobKind]", current("kinds"))


def kind_named(name: str) -> JobKind:
    """Return a kind of the current application that clients may submit.

    Raises:
        NotServed: there is none of this name.
    """
    offered = {kind.name: kind for kind in current_kinds().values() if kind.path is not None}
    if name not in offered:
        raise NotServed(f"there is no such job kind in this installation; there are: {', '.join(sorted(offered))}")
    return offered[name]
