"""Turns columns into the bytes of CSV, NDJSON and Parquet, whole columns at a time."""

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backend.tabular.columns import Cells, Column, Kind
from backend.tabular.formats import Format

TEXT = pa.large_string()
TYPES = {
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TEXT: TEXT,
    Kind.BOOLEAN: pa.bool_(),
    Kind.DATE: pa.date32(),
}
ROW_GROUP = 65_536  # rows
COPY_BYTES = 1 << 20

FORMULA = r"^[=+\-@\t\r\n\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"  # the last are = + - @ at full width, for Asian texts
TO_QUOTE = r'[",\r\n]'


def arrays(table: Cells, columns: Sequence[Column]) -> list[pa.Array]:
    """Return the cells of each column (m,), null where one is missing.

    Raises:
        ValueError: a column is missing, unknown or of another length, or a cell is not of its column's kind.
    """
    names = [column.name for column in columns]
    if set(table) != set(names):
        raise ValueError(f"the columns are {', '.join(names)}; these were given: {', '.join(table)}")
    found = [_array(table[column.name], column) for column in columns]
    lengths = {len(array) for array in found}
    if len(lengths) > 1:
        raise ValueError(f"the columns have different lengths: {', '.join(map(str, sorted(lengths)))}")
    return found


def _array(cells: object, column: Column) -> pa.Array:
    try:
        array = pa.array(cells, TYPES[column.kind], from_pandas=True)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError):
        # What pyarrow says holds the cell.
        raise ValueError(f"a cell of the column {column.name} is no {column.kind}") from None
    if column.kind is Kind.NUMBER and pc.any(pc.is_inf(array)).as_py():
        raise ValueError(f"a cell of the column {column.name} is infinite")
    return array


class TextEncoder(ABC):
    """Writes rows as lines of text."""

    header = b""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file, self._columns = file, tuple(columns)

    @abstractmethod
    def _pieces(self, cells: Sequence[pa.Array]) -> list["pa.Array | str"]:
        """Return what the lines (m,) are made of from left to right, without nulls."""

    def write(self, table: Cells) -> None:
        """Append rows; see `TableWriter.write`."""
        cells = arrays(table, self._columns)
        if not len(cells[0]):
            return
        lines = _joined(*self._pieces(cells))
        _, offsets, content = lines.buffers()
        self._file.write(memoryview(content)[: np.frombuffer(offsets, np.int64)[len(lines)]])

    def append(self, part: Path) -> None:
        """Copy the lines of a part."""
        with part.open("rb") as file:
            if file.read(len(self.header)) != self.header:
                raise ValueError(f"the part {part.name} has another header")
            shutil.copyfileobj(file, self._file, COPY_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._file.flush()


class CsvEncoder(TextEncoder):
    """Writes RFC 4180 with line feeds, and quotes where they are needed."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        super().__init__(file, columns)
        names = _csv_texts(pa.array([column.name for column in columns], TEXT))
        self.header = ",".join(names.to_pylist()).encode() + b"\n"
        file.write(self.header)

    def _pieces(self, cells: Sequence[pa.Array]) -> list["pa.Array | str"]:
        missing = '""' if len(cells) == 1 else ""  # a blank line is no row
        pieces: list[pa.Array | str] = []
        for column, array in zip(self._columns, cells, strict=True):
            texts = _csv_texts(array) if column.kind is Kind.TEXT else pc.cast(array, TEXT)
            pieces += [pc.fill_null(texts, missing), ","]
        return [*pieces[:-1], "\n"]


def _csv_texts(texts: pa.Array) -> pa.Array:
    """Return texts (m,) as cells, disarmed and quoted."""
    texts = pc.if_else(pc.match_substring_regex(texts, FORMULA), _joined("'", texts), texts)
    quoted = _joined('"', pc.replace_substring(texts, '"', '""'), '"')
    texts = pc.if_else(pc.match_substring_regex(texts, TO_QUOTE), quoted, texts)
    return pc.if_else(pc.equal(texts, ""), pa.scalar('""', TEXT), texts)


def _joined(*pieces: "pa.Array | str") -> pa.Array:
    """Return what the pieces make row by row, null where one is."""
    typed = [pa.scalar(piece, TEXT) if isinstance(piece, str) else piece for piece in (*pieces, "")]
    return pc.binary_join_element_wise(*typed)


class NdjsonEncoder(TextEncoder):
    """Writes one object a line, with all of its keys."""

    def _pieces(self, cells: Sequence[pa.Array]) -> list["pa.Array | str"]:
        pieces: list[pa.Array | str] = []
        for column, array in zip(self._columns, cells, strict=True):
            texts = pc.fill_null(_json_values(array, column.kind), "null")
            pieces += ["," if pieces else "{", f"{_quoted(column.name)}:", texts]
        return [*pieces, "}\n"]


def _json_values(array: pa.Array, kind: Kind) -> pa.Array:
    if kind is Kind.TEXT:
        return pa.array([None if text is None else _quoted(text) for text in array.to_pylist()], TEXT)
    if kind is Kind.DATE:
        return _joined('"', pc.cast(array, TEXT), '"')
    return pc.cast(array, TEXT)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class ParquetEncoder:
    """Writes row groups of the same number of rows, whatever the number handed over at a time."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._schema = pa.schema([(column.name, TYPES[column.kind]) for column in columns])
        # Texts such as reasons repeat; a dictionary of numbers that do not takes four times as long, and more room.
        repeating: list[str] | bool = [column.name for column in columns if column.kind is Kind.TEXT] or False
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd", use_dictionary=repeating)
        self._held: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, table: Cells) -> None:
        """Append rows; see `TableWriter.write`."""
        self._hold(pa.RecordBatch.from_arrays(arrays(table, self._columns), schema=self._schema))

    def append(self, part: Path) -> None:
        """Stream the rows of a part."""
        with pa.OSFile(str(part)) as source, pq.ParquetFile(source, pre_buffer=False) as file:
            if not file.schema_arrow.equals(self._schema):
                raise ValueError(f"the part {part.name} has other columns")
            for batch in file.iter_batches(ROW_GROUP, use_threads=False):
                self._hold(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._flush(self._rows)
        self._writer.close()

    def _hold(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROW_GROUP:
            self._flush(self._rows - self._rows % ROW_GROUP)

    def _flush(self, rows: int) -> None:
        table = pa.Table.from_batches(self._held, self._schema).combine_chunks()
        if rows:
            self._writer.write_table(table.slice(0, rows), row_group_size=ROW_GROUP)
        self._held = table.slice(rows).to_batches()
        self._rows -= rows


ENCODERS: dict[Format, type[CsvEncoder | NdjsonEncoder | ParquetEncoder]] = {
    Format.CSV: CsvEncoder,
    Format.NDJSON: NdjsonEncoder,
    Format.PARQUET: ParquetEncoder,
}
