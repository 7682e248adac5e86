"""What a domain declares to have a job run by the clock."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from backend.jobs.schedules.cron import check_cron


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that runs by the clock, in the installation's time zone until an operator changes that."""

    name: str  # what operators call it, in the path /schedules/<name>
    kind: str  # name of the job kind
    cron: str
    request: Mapping[str, Any] = field(default_factory=dict)
    catch_up: timedelta = timedelta(hours=6)  # how late a run that was missed may still start

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", self.name):
            raise ValueError(f"schedule {self.name!r}: the name must be lower case words joined by _")
        try:
            check_cron(self.cron)
        except ValueError as error:
            raise ValueError(f"schedule {self.name}: {error}") from None
        if self.catch_up < timedelta():
            raise ValueError(f"schedule {self.name}: the catch-up window cannot be negative")
