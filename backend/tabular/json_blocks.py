"""Blocks of lines of JSON, parsed by pyarrow where all lines are plain, and line by line where they are not."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from backend.tabular.blocks import Block, Numbers, Records, RowError, Value, in_order
from backend.tabular.cells import NotANumber, matrix, number_of
from backend.tabular.layout import Part
from backend.tabular.text import Piece, pieces

NO_OBJECT = "is not a JSON object"
NESTED = "is a list or an object, not a single value"
HALF_A_PAIR = "holds half of a surrogate pair, which is no character"
ZERO = "holds a zero character, which is no text"
TWICE = "is there twice"


class _Twice:
    """Stands for the values of a name that an object has twice: readers differ in which they take."""


def read_blocks(path: Path, part: Part) -> Iterator[Block]:
    """Yield the blocks of a part."""
    for piece in pieces(path, part, quoted=False):
        yield JsonBlock(piece)


@dataclass(frozen=True, slots=True)
class JsonBlock:
    """Lines that should be objects."""

    piece: Piece

    @property
    def first_row(self) -> int:
        """The number of the first row."""
        return self.piece.first_row

    @property
    def size(self) -> int:
        """How many rows there are, usable or not."""
        return self.piece.size

    def numbers(self, names: Sequence[str]) -> Numbers:
        """Return the columns named; see `Block`."""
        floats = self._floats(names)
        if floats is not None:
            values, finite = matrix(floats, len(self.piece.rows))
            if finite:
                return Numbers(self.piece.rows, values, self.piece.errors)
        rows, table = [], []
        errors: list[RowError] = []
        for row, record in self._objects(errors):
            numbers = _numbers(row, record, names)
            if isinstance(numbers, RowError):
                errors.append(numbers)
            else:
                rows.append(row)
                table.append(numbers)
        values = np.array(table, np.float64).reshape(len(rows), len(names))
        return Numbers(np.array(rows, np.int64), values, in_order(self.piece.errors, errors))

    def records(self, names: Sequence[str]) -> Records:
        """Return the columns named; see `Block`."""
        rows = []
        errors: list[RowError] = []
        for row, record in self._objects(errors):
            values = _values(row, record, names)
            if isinstance(values, RowError):
                errors.append(values)
            else:
                rows.append((row, values))
        return Records(tuple(rows), in_order(self.piece.errors, errors))

    def _floats(self, names: Sequence[str]) -> list[pa.Array] | None:
        """Return each column named (m,) if every line is an object that pyarrow reads as numbers and nulls."""
        text, n = self.piece.text, len(self.piece.rows)
        # To pyarrow objects are rows, whatever the lines. Where each line begins and ends as an object does, and there
        # are as many objects as lines, each line is one.
        begins = text.startswith(b"{") + text.count(b"\n{")
        closes = text.count(b"}\n") + text.count(b"}\r\n")
        if not n == begins == closes:
            return None
        try:
            table = arrow_json.read_json(
                pa.py_buffer(text),
                read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=pa.schema([(name, pa.float64()) for name in names]),
                    unexpected_field_behavior="ignore",
                ),
            )
        except pa.ArrowInvalid:
            return None
        return [table.column(name).chunk(0) for name in names] if table.num_rows == n else None

    def _objects(self, errors: list[RowError]) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield each line that is an object with its row; add the others to `errors`."""
        for row, line in zip(self.piece.rows.tolist(), self.piece.text.split(b"\n")[:-1], strict=True):
            try:
                found = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                yield row, found
            else:
                errors.append(RowError(row, None, NO_OBJECT))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        found |= {name: _Twice() for name, count in Counter(name for name, _ in pairs).items() if count > 1}
    return found


def _numbers(row: int, record: dict[str, object], names: Sequence[str]) -> list[float] | RowError:
    numbers = []
    for name in names:
        if isinstance(record.get(name), _Twice):
            return RowError(row, name, TWICE)
        try:
            numbers.append(number_of(record.get(name)))
        except NotANumber as error:
            return RowError(row, name, str(error))
    return numbers


def _values(row: int, record: dict[str, object], names: Sequence[str]) -> dict[str, Value] | RowError:
    values: dict[str, Value] = {}
    for name in names:
        if name not in record:  # says nothing, which is not null
            continue
        value = record[name]
        if isinstance(value, _Twice):
            return RowError(row, name, TWICE)
        if isinstance(value, str) and "\x00" in value:
            return RowError(row, name, ZERO)
        if isinstance(value, str) and not value.isascii() and _is_half_a_pair(value):
            return RowError(row, name, HALF_A_PAIR)
        if value is not None and not isinstance(value, str | int | float):
            return RowError(row, name, NESTED)
        values[name] = None if isinstance(value, float) and math.isnan(value) else value
    return values


def _is_half_a_pair(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
