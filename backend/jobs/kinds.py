"""What a domain declares to have a job: its schemas, its function and its limits."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from backend.errors import Unavailable

if TYPE_CHECKING:
    from backend.jobs.context import JobContext
    from backend.jobs.parts import Parts

QUEUES = ("interactive", "batch")  # "training" joins them with the first kind that trains


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One kind of job. The submit route, its documentation, the Celery task and its routing are derived from it.

    `run(request, context)` gets a validated request and returns a `result`; it neither knows nor cares that Celery
    called it, and it may run more than once, so what it wants stored goes through `context.store`.
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
    claims: int = 1  # queued jobs of this kind that one ring may claim at once
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
