"""Blocks of CSV, parsed by pyarrow: straight into floats, and cell by cell only where that fails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from backend.tabular.blocks import Block, Numbers, Records
from backend.tabular.cells import checked, matrix, numbers_of_texts
from backend.tabular.layout import Layout, Part
from backend.tabular.text import Piece, pieces, rectangular


def read_blocks(path: Path, layout: Layout, part: Part) -> Iterator[Block]:
    """Yield the blocks of a part."""
    for piece in pieces(path, part, quoted=True):
        yield CsvBlock(piece, layout.columns)


@dataclass(frozen=True, slots=True)
class CsvBlock:
    """Rows that should have one cell for each of the columns; which have not is seen when they are parsed."""

    piece: Piece
    columns: tuple[str, ...]

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
        try:
            values, finite = matrix(self._parsed(self.piece, names, pa.float64()), len(self.piece.rows))
        except pa.ArrowInvalid:
            finite = False
        if finite:
            return Numbers(self.piece.rows, values, self.piece.errors)
        piece, texts = self._texts(names)
        return checked(piece.rows, names, [numbers_of_texts(column) for column in texts], texts, piece.errors)

    def records(self, names: Sequence[str]) -> Records:
        """Return the columns named; see `Block`."""
        piece, texts = self._texts(names)
        columns = []
        for column in texts:
            trimmed = pc.utf8_trim_whitespace(column)
            columns.append(pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed).to_pylist())
        rows = zip(piece.rows.tolist(), zip(*columns, strict=True), strict=True)
        return Records(tuple((row, dict(zip(names, cells, strict=True))) for row, cells in rows), piece.errors)

    def _texts(self, names: Sequence[str]) -> tuple[Piece, list[pa.Array]]:
        """Return the rows with the right number of cells, and each column named of them (m,)."""
        try:
            return self.piece, self._parsed(self.piece, names, pa.string())
        except pa.ArrowInvalid:
            piece = rectangular(self.piece, columns=len(self.columns))
            return piece, self._parsed(piece, names, pa.string())

    def _parsed(self, piece: Piece, names: Sequence[str], type_: pa.DataType) -> list[pa.Array]:
        """Return each column named as one array (m,).

        Raises:
            pa.ArrowInvalid: a row has not as many cells as the header, or a cell has no form of this type.
        """
        if not piece.text:
            return [pa.array([], type_) for _ in names]
        table = csv.read_csv(
            pa.py_buffer(piece.text),
            read_options=csv.ReadOptions(column_names=self.columns, use_threads=False, block_size=len(piece.text) + 1),
            # No line is blank, and line ends within quotes must not split a row.
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, type_),
                include_columns=names,
                null_values=["", "nan", "NaN"],
                strings_can_be_null=False,
                check_utf8=False,  # was checked, of whole rows
            ),
        )
        if table.num_rows != len(piece.rows):
            raise AssertionError(f"pyarrow sees {table.num_rows} rows where there are {len(piece.rows)}")
        return [table.column(name).chunk(0) for name in names]
