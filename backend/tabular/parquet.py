"""Parquet files: how they are cut, and blocks of their rows, streamed so that large row groups need no more memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backend.errors import BadFile
from backend.tabular.blocks import Block, Numbers, Records, RowError, Value, in_order
from backend.tabular.cells import Mask, Values, checked, matrix, numbers_of_texts
from backend.tabular.layout import Part, check_columns
from backend.tabular.text import BLOCK_ROWS, NOT_UTF8, is_utf8

BLOCK_BYTES = 4 << 20  # decoded
PAGE_BUFFER = 256 << 10  # bytes; without one a whole column of a row group is read at once


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file, and say in our words that it cannot be read, also while it is being read."""
    with pa.OSFile(str(path)) as source:
        try:
            with pq.ParquetFile(
                source, buffer_size=PAGE_BUFFER, pre_buffer=False, page_checksum_verification=True
            ) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise BadFile("the Parquet file cannot be read: it is damaged or encrypted; write it again") from error


def row_groups(path: Path, *, part_bytes: int) -> tuple[tuple[str, ...], list[Part]]:
    """Return the columns, and parts of whole row groups, each of at least `part_bytes` decoded where there are enough.

    Raises:
        BadFile: the file cannot be read, or its columns cannot be told apart.
    """
    with _opened(path) as file:
        columns = check_columns(file.schema_arrow.names)
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    parts: list[Part] = []
    first_row, start, rows, filled = 1, 0, 0, 0
    for index, (count, size) in enumerate(sizes, start=1):
        rows, filled = rows + count, filled + size
        if rows and (filled >= part_bytes or index == len(sizes)):
            parts.append(Part(number=len(parts), first_row=first_row, rows=rows, start=start, stop=index))
            first_row, start, rows, filled = first_row + rows, index, 0, 0
    return columns, parts


def read_blocks(path: Path, part: Part, *, columns: Sequence[str]) -> Iterator[Block]:
    """Yield the blocks of a part, with these columns only.

    Raises:
        BadFile: a column holds what has no place in a table, or the file cannot be read.
    """
    with _opened(path) as file:
        for name in columns:
            _require_plain(name, file.schema_arrow.field(name).type)
        first = part.first_row
        batches = file.iter_batches(
            batch_size=_rows_at_once(file.metadata, part, columns),
            row_groups=range(part.start, part.stop),
            columns=list(columns),
            use_threads=False,
        )
        for batch in batches:
            yield _block(batch, first)
            first += batch.num_rows


def _rows_at_once(metadata: pq.FileMetaData, part: Part, columns: Sequence[str]) -> int:
    """Return how many rows fit into a block."""
    wanted = set(columns)
    decoded = 0
    for index in range(part.start, part.stop):
        group = metadata.row_group(index)
        chunks = (group.column(place) for place in range(group.num_columns))
        decoded += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted)
    width = max(8 * len(columns), decoded // part.rows)
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // width))


def _require_plain(name: str, type_: pa.DataType) -> None:
    inner = type_.value_type if pa.types.is_dictionary(type_) else type_
    if not (_is_number(inner) or _is_text(inner) or _is_time(inner) or pa.types.is_null(inner)):
        raise BadFile(f"column {name} has the type {type_}; only numbers, texts, booleans, dates and times can be read")


@dataclass(frozen=True, slots=True)
class ParquetBlock:
    """Rows of a file, with the columns wanted, and without the rows that hold texts which are not UTF-8."""

    first_row: int
    size: int
    rows: NDArray[np.int64]
    batch: pa.RecordBatch
    errors: tuple[RowError, ...]

    def numbers(self, names: Sequence[str]) -> Numbers:
        """Return the columns named; see `Block`."""
        columns = [self.batch.column(name) for name in names]
        if all(_is_number(column.type) for column in columns):
            values, _ = matrix([_floats(column) for column in columns], len(self.rows))
            if not np.isinf(values).any():
                return Numbers(self.rows, values, self.errors)
        return checked(self.rows, names, [_numbers(column) for column in columns], columns, self.errors)

    def records(self, names: Sequence[str]) -> Records:
        """Return the columns named; see `Block`."""
        columns = [_values(self.batch.column(name)) for name in names]
        rows = zip(self.rows.tolist(), zip(*columns, strict=True), strict=True)
        return Records(tuple((row, dict(zip(names, cells, strict=True))) for row, cells in rows), self.errors)


def _block(batch: pa.RecordBatch, first: int) -> ParquetBlock:
    """Decode dictionaries, and leave out the rows with a text that is not UTF-8."""
    keep = np.ones(batch.num_rows, np.bool_)
    errors: list[RowError] = []
    columns = []
    for name, encoded in zip(batch.schema.names, batch.columns, strict=True):
        column = encoded.dictionary_decode() if pa.types.is_dictionary(encoded.type) else encoded
        if _is_text(column.type):
            for index in _not_utf8(column):
                if keep[index]:
                    errors.append(RowError(first + index, name, NOT_UTF8))
                keep[index] = False
        columns.append(column)
    rows = first + np.flatnonzero(keep)
    if errors:
        columns = [column.filter(pa.array(keep)) for column in columns]
    columns = [column.cast(pa.string()) if _is_text(column.type) else column for column in columns]
    clean = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    return ParquetBlock(first, batch.num_rows, rows, clean, in_order(errors))


def _not_utf8(texts: pa.Array) -> list[int]:
    """Return which texts (m,) are not UTF-8; Parquet promises it and nobody checks. A zero byte is no text either."""
    try:
        texts.validate(full=True)
        readable = not pc.any(pc.match_substring(texts, "\x00")).as_py()
    except pa.ArrowInvalid:
        readable = False
    if not readable:
        contents = texts.cast(pa.large_binary()).to_pylist()
        return [index for index, content in enumerate(contents) if content is not None and not is_utf8(content)]
    return []


def _floats(column: pa.Array) -> pa.Array:
    return column if pa.types.is_float64(column.type) else pc.cast(column, pa.float64(), safe=False)


def _numbers(column: pa.Array) -> tuple[Values, Mask]:
    """Return a column (m,) as numbers, and which of its cells are neither numbers nor missing."""
    if _is_text(column.type):
        return numbers_of_texts(column)
    if _is_number(column.type):
        values = _floats(column).to_numpy(zero_copy_only=False)
        return values, np.isinf(values)
    return np.full(len(column), np.nan), column.is_valid().to_numpy(zero_copy_only=False)


def _values(column: pa.Array) -> list[Value]:
    """Return a column's cells as plain values: NaN as None, decimals as floats, dates and times as ISO 8601."""
    type_ = column.type
    if pa.types.is_decimal(type_) or pa.types.is_floating(type_):
        floats = _floats(column)
        return pc.if_else(pc.is_nan(floats), None, floats).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_timestamp(type_):
        column = pc.cast(column, pa.timestamp("us", tz=type_.tz), safe=False)  # datetime knows no nanoseconds
    elif pa.types.is_time(type_):
        column = pc.cast(column, pa.time64("us"), safe=False)
    if _is_time(type_):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]


def _is_number(type_: pa.DataType) -> bool:
    types = pa.types
    return any(is_(type_) for is_ in (types.is_floating, types.is_integer, types.is_boolean, types.is_decimal))


def _is_text(type_: pa.DataType) -> bool:
    return any(is_(type_) for is_ in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_time(type_: pa.DataType) -> bool:
    return any(is_(type_) for is_ in (pa.types.is_date, pa.types.is_timestamp, pa.types.is_time))
