"""What holds for every format: rows, their numbers, what is missing, and what is wrong with a row."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadFile
from backend.tabular import text
from backend.tabular.blocks import Numbers, Records, RowError
from backend.tabular.formats import Format
from backend.tabular.layout import lay_out
from backend.tabular.reading import read_part

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


def blocks(path: Path, format_: Format, columns: Sequence[str], *, part_bytes: int = 8 << 20):
    layout = lay_out(path, format_, progress=lambda _: None, part_bytes=part_bytes)
    for part in layout.parts:
        row = part.first_row
        for block in read_part(path, layout, part, columns=columns):
            assert block.first_row == row
            row += block.size
            yield block
        assert row == part.first_row + part.rows


def numbers(path: Path, format_: Format, columns: Sequence[str], *, part_bytes: int = 8 << 20) -> Numbers:
    found = [block.numbers(columns) for block in blocks(path, format_, columns, part_bytes=part_bytes)]
    return Numbers(
        np.concatenate([some.rows for some in found]),
        np.concatenate([some.values for some in found]),
        tuple(error for some in found for error in some.errors),
    )


def records(path: Path, format_: Format, columns: Sequence[str], *, part_bytes: int = 8 << 20) -> Records:
    found = [block.records(columns) for block in blocks(path, format_, columns, part_bytes=part_bytes)]
    return Records(
        tuple(row for some in found for row in some.rows), tuple(error for some in found for error in some.errors)
    )


def store(path: Path, format_: Format, names: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Write rows as others do: csv.writer, json.dumps, pyarrow."""
    if format_ is Format.CSV:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([names, *rows])
    elif format_ is Format.NDJSON:
        path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    else:
        columns = [[None if row[place] is None else float(row[place]) for row in rows] for place in range(len(names))]
        pq.write_table(pa.Table.from_arrays(list(map(pa.array, columns)), list(names)), path, row_group_size=2)
    return path


@pytest.mark.parametrize("format_", Format)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=9), part_bytes=st.integers(1, 99))
def test_numbers_come_back_in_their_order_whatever_the_parts(folder: Path, format_: Format, rows, part_bytes: int):
    path = store(folder / f"rows{format_.suffix}", format_, ("a", "b"), rows)
    found = numbers(path, format_, ("b", "a"), part_bytes=part_bytes)
    expected = [[math.nan if cell is None else float(cell) for cell in reversed(row)] for row in rows]
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.flags.c_contiguous
    assert found.rows.tolist() == list(range(1, len(rows) + 1))
    assert found.errors == ()


@given(
    names=st.lists(
        TEXTS.map(str.strip).filter(lambda name: name and "\x00" not in name), min_size=2, max_size=3, unique=True
    ),
    data=st.data(),
    part_bytes=st.integers(1, 99),
)
def test_what_csv_writer_wrote_reads_back_whatever_the_parts(folder: Path, names, data, part_bytes: int):
    rows = data.draw(st.lists(st.lists(TEXTS, min_size=len(names), max_size=len(names)), min_size=1, max_size=9))
    content = io.StringIO(newline="")
    csv.writer(content).writerows([[f"n{name}" for name in names], *rows])
    path = folder / "texts.csv"
    path.write_text("\ufeff" + content.getvalue(), encoding="utf-8", newline="")
    names = [f"n{name}" for name in names]
    found = records(path, Format.CSV, names, part_bytes=part_bytes)
    assert found.errors == ()
    assert [row for row, _ in found.rows] == list(range(1, len(rows) + 1))
    for (_, values), row in zip(found.rows, rows, strict=True):
        assert [value or "" for value in values.values()] == [stripped(cell) for cell in row]


def stripped(cell: str) -> str:
    """Without blanks as Unicode has them; Python also takes four separators of ASCII for blanks."""
    separators = "\x1c\x1d\x1e\x1f"
    return cell.strip("".join(chr(n) for n in range(0x3001) if chr(n).isspace() and chr(n) not in separators))
