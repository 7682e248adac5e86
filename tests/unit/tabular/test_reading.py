"""What holds for every format."""

import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadFile
from backend.tabular.formats import Format
from backend.tabular.layout import lay_out
from backend.tabular.reading import read_part

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


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
def test_numbers_come_back_in_their_order_whatever_the_parts(
    numbers, folder: Path, format_: Format, rows, part_bytes: int
):
    path = store(folder / f"rows{format_.suffix}", format_, ("a", "b"), rows)
    found = numbers(path, format_, ("b", "a"), part_bytes=part_bytes)
    expected = [[math.nan if cell is None else float(cell) for cell in reversed(row)] for row in rows]
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.flags.c_contiguous
    assert found.rows.tolist() == list(range(1, len(rows) + 1))
    assert found.errors == ()


def test_a_column_that_is_not_there_is_refused_but_in_ndjson_where_each_line_may_lack_it(numbers, file_of):
    with pytest.raises(BadFile, match="no column c"):
        numbers(file_of("a,b\n1,2\n"), Format.CSV, ["a", "c"])
    found = numbers(file_of('{"a": 1}\n', Format.NDJSON), Format.NDJSON, ["a", "c"])
    np.testing.assert_array_equal(found.values, [[1, np.nan]])


def test_at_least_one_column_must_be_named(numbers, file_of):
    with pytest.raises(ValueError, match="at least one column"):
        numbers(file_of("a\n1\n"), Format.CSV, [])


def test_a_file_that_was_cut_off_since_is_told(file_of):
    path = file_of("a\n1\n2\n")
    layout = lay_out(path, Format.CSV, progress=lambda _: None)
    path.write_text("a\n1\n")
    with pytest.raises(BadFile, match=r"rows\.csv ends before part 0"):
        list(read_part(path, layout, layout.parts[0], columns=["a"]))


def test_pyarrow_is_imported_when_a_file_is_read_and_not_before():
    modules = "columns, formats, layout, reading, writing"
    program = f"import sys; from backend.tabular import {modules}; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
