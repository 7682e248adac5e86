"""What rounds of measurements of several systems say: medians, and ratios to bare Celery within a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.peers import BARE
from benchmarks.report import Table

FIGURES = ("p50", "p99", "jobs/s", "times bare p50")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured of one system with one number of clients; p50 and p99 in milliseconds."""

    p50: float
    p99: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Bulk:
    """What one round measured of one system: seconds until all jobs were sent, and until all results were fetched."""

    jobs: int
    sent: float
    fetched: float

    @property
    def per_second(self) -> float:
        """Jobs a second, from the first that was sent to the last result."""
        return self.jobs / self.fetched


Rounds = Mapping[tuple[str, int], Sequence[Round]]
"""Of each system and number of clients."""


def round_trip_table(names: Sequence[str], rounds: Rounds, *, clients: Sequence[int], notes: tuple[str, ...]) -> Table:
    """Return a row for each system, and the figures with each number of clients."""
    columns = [f"{figure}, {count} client{'s' * (count > 1)}" for count in clients for figure in FIGURES]
    return Table(
        title="Job round trip: predict one row with a LightGBM model",
        columns=("system", *columns),
        rows=[(name, *(cell for count in clients for cell in _round_trip(name, count, rounds))) for name in names],
        notes=notes,
    )


def bulk_table(bulks: Mapping[str, Sequence[Bulk]], *, notes: tuple[str, ...]) -> Table:
    """Return a row for each system."""
    return Table(
        title="Jobs in bulk: predict one row in each",
        columns=("system", "jobs", "sent after, s", "all results after, s", "jobs/s", "times bare jobs/s"),
        rows=[(name, *_bulk(own, bulks[BARE])) for name, own in bulks.items()],
        notes=notes,
    )


def _round_trip(name: str, clients: int, rounds: Rounds) -> tuple[str, ...]:
    own, bare = rounds[name, clients], rounds[BARE, clients]
    ratio = median(mine.p50 / theirs.p50 for mine, theirs in zip(own, bare, strict=True))
    return (
        f"{median(one.p50 for one in own):.1f}",
        f"{median(one.p99 for one in own):.1f}",
        f"{median(one.per_second for one in own):,.0f}",
        f"{ratio:.2f}",
    )


def _bulk(own: Sequence[Bulk], bare: Sequence[Bulk]) -> tuple[str, ...]:
    ratio = median(mine.per_second / theirs.per_second for mine, theirs in zip(own, bare, strict=True))
    return (
        f"{own[0].jobs:,}",
        f"{median(one.sent for one in own):.1f}",
        f"{median(one.fetched for one in own):.1f}",
        f"{median(one.per_second for one in own):,.0f}",
        f"{ratio:.2f}",
    )
