"""Which faults happen when: drawn from a seed before anything starts, so that a run can be repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

LEASE_SECONDS = 3.0
RECONCILE_SECONDS = 1.0


class FaultKind(StrEnum):
    """What can go wrong; the value is how the report calls it."""

    INTERACTIVE_KILLED = "interactive worker SIGKILLed"
    BATCH_KILLED = "batch worker SIGKILLed"
    WORKER_ASLEEP = "worker stopped for longer than its lease"
    WORKER_STOPPED = "worker asked to stop (SIGTERM), restarted"
    API_KILLED = "API SIGKILLed"
    API_KILLED_BEFORE_RING = "API SIGKILLed between commit and ring"
    BEAT_KILLED = "one of two beats SIGKILLed"
    BROKER_WIPED = "broker SIGKILLed, back empty"
    BROKER_CUT = "broker unreachable"
    BROKER_HUNG = "broker stopped (accepts, never answers)"
    BROKER_STRANDED = "broker connections half-open"
    DATABASE_CRASHED = "database crashed (SIGQUIT), restarted"
    DATABASE_RESTARTED = "database shut down (SIGINT), restarted"
    COMMITS_UNANSWERED = "database connections cut at COMMIT, its answer lost"
    DISK_FULL = "disk full (models and files of jobs)"


# Seconds that a fault lasts. A worker must sleep for longer than its lease; a stranded connection is noticed by its
# timeout after 10 s, whatever we do.
LASTS = {
    FaultKind.INTERACTIVE_KILLED: (0.2, 2.0),
    FaultKind.BATCH_KILLED: (0.2, 2.0),
    FaultKind.WORKER_ASLEEP: (LEASE_SECONDS * 1.4, LEASE_SECONDS * 2.5),
    FaultKind.WORKER_STOPPED: (0.2, 2.0),
    FaultKind.API_KILLED: (0.2, 2.0),
    FaultKind.API_KILLED_BEFORE_RING: (0.0, 0.0),
    FaultKind.BEAT_KILLED: (0.2, 3.0),
    FaultKind.BROKER_WIPED: (0.2, 4.0),
    FaultKind.BROKER_CUT: (1.0, 6.0),
    FaultKind.BROKER_HUNG: (2.0, 6.0),
    FaultKind.BROKER_STRANDED: (0.0, 0.0),
    FaultKind.DATABASE_CRASHED: (0.2, 3.0),
    FaultKind.DATABASE_RESTARTED: (0.2, 3.0),
    FaultKind.COMMITS_UNANSWERED: (0.3, 1.5),
    FaultKind.DISK_FULL: (2.0, 5.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: how long after the one before it begins, how long it lasts, and which of several it hits."""

    kind: FaultKind
    after: float  # seconds
    lasts: float  # seconds
    which: int


def draw_plan(
    seed: int,
    count: int,
    *,
    kinds: Sequence[FaultKind] = tuple(FaultKind),
    after: tuple[float, float],
    brief: bool = False,
) -> list[Fault]:
    """Return `count` faults; every kind comes once before any comes again; brief ones last as short as they may."""
    chance = Random(seed)  # noqa: S311 - to be repeated, not a secret
    drawn: list[FaultKind] = []
    while len(drawn) < count:
        drawn += chance.sample(kinds, len(kinds))
    plan = []
    for kind in drawn[:count]:
        shortest, longest = LASTS[kind]
        lasts = shortest if brief else chance.uniform(shortest, longest)
        plan.append(Fault(kind, chance.uniform(*after), lasts, chance.randrange(2)))
    return plan
