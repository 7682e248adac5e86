"""Writes rows as CSV, NDJSON or Parquet: the same rows give the same bytes, however they were handed over.

Floats are written in the shortest form that reads back the same. What is missing (None, NaN) is an empty cell or null.

In CSV a text that a spreadsheet would take for a formula, because it begins with = + - @, a tab or a line end,
gets a single quote before it (OWASP, "CSV Injection").
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from backend.tabular.columns import Cells, Column
from backend.tabular.durable import durable_file
from backend.tabular.formats import Format


class TableWriter:
    """Writes one file in a `with` block; it appears, synced, at the end of the block, and not at all after an error."""

    def __init__(self, path: Path, format_: Format, columns: Sequence[Column]) -> None:
        self._writing = _encoder(path, format_, columns)
        self._encoder: Encoder | None = None

    def __enter__(self) -> Self:
        self._encoder = self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder = None
        self._writing.__exit__(kind, error, trace)

    def write(self, table: Cells) -> None:
        """Append rows, given as the cells (m,) of each column by its name.

        Raises:
            ValueError: a column is missing, unknown or of another length, or a cell is not of its column's kind.
        """
        if self._encoder is None:
            raise ValueError("rows are written inside the with block")
        self._encoder.write(table)


def join_parts(parts: Sequence[Path], target: Path, format_: Format, columns: Sequence[Column]) -> None:
    """Make one file of files that a `TableWriter` wrote, in their order, as if it had written all rows to one.

    Raises:
        ValueError: a part has other columns.
    """
    with _encoder(target, format_, columns) as encoder:
        for part in parts:
            encoder.append(part)


class Encoder(Protocol):
    """Writes rows of one format into an open file."""

    def write(self, table: Cells) -> None:
        """Append rows."""

    def append(self, part: Path) -> None:
        """Append the rows of a file of the same format and columns."""


@contextmanager
def _encoder(path: Path, format_: Format, columns: Sequence[Column]) -> Iterator[Encoder]:
    from backend.tabular.encoders import ENCODERS  # noqa: PLC0415 - pyarrow is slow to import

    with durable_file(path) as file, ENCODERS[format_](file, columns) as encoder:
        yield encoder
