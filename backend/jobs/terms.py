"""What a submission asks of the engine, beside the work itself."""

from dataclasses import dataclass
from datetime import datetime

from backend.errors import FieldError, ValidationFailed
from backend.jobs.states import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Who submits, under which key, how urgent it is, until when it is worth anything, and who is told of its end."""

    client: str | None = None  # nobody: what runs by the clock, which no limit holds back
    key: str | None = None
    priority: Priority = Priority.NORMAL
    start_by: datetime | None = None
    finish_by: datetime | None = None
    callback: str | None = None


def check_terms(terms: Terms, *, now: datetime) -> None:
    """See that the deadlines can be met at all.

    Raises:
        ValidationFailed: one has passed, or the start may be later than the end.
    """
    wrong = [
        FieldError(name, f"has passed; it is {now:%Y-%m-%dT%H:%M:%SZ} here")
        for name, moment in (("start_by", terms.start_by), ("finish_by", terms.finish_by))
        if moment is not None and moment <= now
    ]
    if not wrong and terms.start_by and terms.finish_by and terms.start_by > terms.finish_by:
        wrong = [FieldError("start_by", "is later than finish_by")]
    if wrong:
        raise ValidationFailed(tuple(wrong))
