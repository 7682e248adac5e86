"""What is written: columns and their cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray

from backend.tabular.blocks import RowError


class Kind(StrEnum):
    """What the cells of a column hold."""

    INTEGER = "integer"  # 64 bits
    NUMBER = "number"  # float64, finite
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Column:
    """A column to write."""

    name: str
    kind: Kind


ERROR_COLUMNS = (Column("row", Kind.INTEGER), Column("column", Kind.TEXT), Column("reason", Kind.TEXT))

Cells = Mapping[str, Sequence[object] | NDArray[Any]]


def error_cells(errors: Sequence[RowError]) -> Cells:
    """Return errors as the cells of `ERROR_COLUMNS`."""
    return {
        "row": [error.row for error in errors],
        "column": [error.column for error in errors],
        "reason": [error.reason for error in errors],
    }
