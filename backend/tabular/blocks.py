"""What reading yields: blocks of rows, as a matrix of numbers for models or as records for validation.

Every row of a file is in the result of exactly one block, or among its errors with its number and the reason. A reason
never holds a cell's value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, order=True)
class RowError:
    """Why a row cannot be used; `row` counts from 1, `column` is None when the whole row is meant."""

    row: int
    column: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """The usable rows of a block: their numbers (m,) and values (m, k), in C order, NaN for missing; and the rest."""

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """The usable rows of a block, each with its number, and the rest."""

    rows: tuple[tuple[int, Mapping[str, Value]], ...]
    errors: tuple[RowError, ...]


class Block(Protocol):
    """Some consecutive rows of a file."""

    @property
    def first_row(self) -> int:
        """The number of the first row."""

    @property
    def size(self) -> int:
        """How many rows there are, usable or not."""

    def numbers(self, names: Sequence[str]) -> Numbers:
        """Return the columns named, in this order.

        An empty cell, NaN, null and an absent key are missing; true and false are 1 and 0; a text that reads as a
        number is one. A row with any other cell is left out, and the first such column is its error.
        """

    def records(self, names: Sequence[str]) -> Records:
        """Return the columns named of each row.

        CSV gives texts without blanks around them, None if nothing is left; JSON and Parquet their values, NaN as None,
        and dates and times of Parquet as ISO 8601. A key that a line of JSON does not have is not in its record.
        """


def in_order(*errors: Sequence[RowError]) -> tuple[RowError, ...]:
    """Return the errors of all sequences by row."""
    return tuple(sorted((error for some in errors for error in some), key=lambda error: error.row))
