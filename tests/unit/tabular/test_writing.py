import csv
import json
import math
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tabular import encoders
from backend.tabular.blocks import RowError
from backend.tabular.columns import ERROR_COLUMNS, Cells, Column, Kind, error_cells
from backend.tabular.formats import Format
from backend.tabular.layout import lay_out
from backend.tabular.reading import read_part
from backend.tabular.writing import TableWriter, join_parts

COLUMNS = (
    Column("row", Kind.INTEGER),
    Column("score", Kind.NUMBER),
    Column("note", Kind.TEXT),
    Column("flag", Kind.BOOLEAN),
    Column("day", Kind.DATE),
)
NAMES = [column.name for column in COLUMNS]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | TEXTS,
        st.none() | st.booleans(),
        st.none() | st.dates(),
    ),
    max_size=12,
)


def cells(rows, columns=COLUMNS) -> Cells:
    return {column.name: [row[place] for row in rows] for place, column in enumerate(columns)}


def written(path: Path, format_: Format, *tables: Cells, columns=COLUMNS) -> Path:
    with TableWriter(path, format_, columns) as writer:
        for table in tables:
            writer.write(table)
    return path


def cut(rows, sizes):
    """Rows in pieces of these sizes, the rest in the last."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(rows[start : start + size])
        start += size
    return [*pieces, rows[start:]]


def disarmed(text: str) -> str:
    return f"'{text}" if text[:1] and text[0] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20" else text


@pytest.fixture(autouse=True, scope="module")
def _unsynced() -> Iterator[None]:
    """Spare the disk; that files are synced is tested in test_durable."""
    with patch("os.fsync"):
        yield


@given(rows=ROWS)
def test_csv_reads_back_the_same(folder: Path, rows):
    path = written(folder / "back.csv", Format.CSV, cells(rows))
    with path.open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file, strict=True)
    assert header == NAMES
    assert len(found) == len(rows)
    for (number, score, note, flag, day), line in zip(rows, found, strict=True):
        assert line[0] == str(number)
        assert (float(line[1]) if line[1] else None) == score
        assert line[2] == disarmed(note or "")
        assert line[3] == {None: "", True: "true", False: "false"}[flag]
        assert line[4] == (day.isoformat() if day else "")


@given(rows=ROWS)
def test_ndjson_reads_back_the_same(folder: Path, rows):
    path = written(folder / "back.ndjson", Format.NDJSON, cells(rows))
    found = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    expected = [dict(zip(NAMES, [*row[:4], row[4] and row[4].isoformat()], strict=True)) for row in rows]
    assert found == expected


@given(rows=ROWS)
def test_parquet_reads_back_the_same(folder: Path, rows):
    path = written(folder / "back.parquet", Format.PARQUET, cells(rows))
    assert pq.read_table(path).to_pylist() == [dict(zip(NAMES, row, strict=True)) for row in rows]


@pytest.mark.parametrize("format_", Format)
@given(rows=ROWS, sizes=st.lists(st.integers(0, 4), max_size=3))
def test_the_same_rows_give_the_same_bytes_handed_over_at_once_in_pieces_or_joined(
    folder: Path, format_: Format, rows, sizes
):
    with patch.object(encoders, "ROW_GROUP", 3):
        whole = written(folder / "whole", format_, cells(rows))
        pieces = [cells(piece) for piece in cut(rows, sizes)]
        pieced = written(folder / "pieced", format_, *pieces)
        parts = [written(folder / f"part-{n}", format_, piece) for n, piece in enumerate(pieces)]
        join_parts(parts, folder / "joined", format_, COLUMNS)
    assert pieced.read_bytes() == whole.read_bytes()
    assert (folder / "joined").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("format_", [Format.CSV, Format.PARQUET])
def test_what_was_written_can_be_read_as_input(tmp_path: Path, format_: Format):
    path = written(
        tmp_path / "rows", format_, cells([(1, 0.1, "ä", True, date(2026, 1, 2)), (2, None, None, None, None)])
    )
    layout = lay_out(path, format_, progress=lambda _: None)
    (block,) = read_part(path, layout, layout.parts[0], columns=NAMES)
    np.testing.assert_array_equal(block.numbers(["flag", "score"]).values, [[1, 0.1], [np.nan, np.nan]])


@pytest.mark.parametrize(("format_", "content"), [(Format.CSV, b"row,score,note,flag,day\n"), (Format.NDJSON, b"")])
def test_no_rows_are_a_file_with_a_header(tmp_path: Path, format_: Format, content: bytes):
    assert written(tmp_path / "rows", format_).read_bytes() == content
    join_parts([], tmp_path / "joined", format_, COLUMNS)
    assert (tmp_path / "joined").read_bytes() == content


def test_no_rows_are_parquet_with_its_schema(tmp_path: Path):
    path = written(tmp_path / "rows.parquet", Format.PARQUET)
    assert pq.read_table(path).schema.names == NAMES
    assert pq.read_metadata(path).num_rows == 0


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.1, "0.1"), (1.0, "1"), (1 / 3, "0.3333333333333333"), (1e300, "1e+300"), (5e-324, "5e-324"), (math.nan, "")],
)
def test_floats_are_short_and_nan_is_missing(tmp_path: Path, score: float, text: str):
    columns = (Column("n", Kind.INTEGER), Column("score", Kind.NUMBER))
    path = written(tmp_path / "rows.csv", Format.CSV, {"n": [1], "score": np.array([score])}, columns=columns)
    assert path.read_text() == f"n,score\n1,{text}\n"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20"])
def test_a_text_that_looks_like_a_formula_gets_a_quote_before_it_in_csv_only(tmp_path: Path, begin: str):
    columns = (Column(f"{begin}name", Kind.TEXT), Column("n", Kind.NUMBER))
    table = {f"{begin}name": [f'{begin}HYPERLINK("x")'], "n": [-1.5]}
    path = written(tmp_path / "rows.csv", Format.CSV, table, columns=columns)
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [[f"'{begin}name", "n"], [f'\'{begin}HYPERLINK("x")', "-1.5"]]
    path = written(tmp_path / "rows.ndjson", Format.NDJSON, table, columns=columns)
    assert json.loads(path.read_text()) == {f"{begin}name": f'{begin}HYPERLINK("x")', "n": -1.5}


def test_a_missing_cell_alone_in_its_row_is_no_blank_line(tmp_path: Path):
    columns = (Column("score", Kind.NUMBER),)
    path = written(tmp_path / "rows.csv", Format.CSV, {"score": [None, 1.0]}, columns=columns)
    assert lay_out(path, Format.CSV, progress=lambda _: None).rows == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"n": [1]}, "the columns are n, t; these were given: n"),
        ({"n": [1], "t": ["x"], "u": [1]}, "these were given: n, t, u"),
        ({"n": [1], "t": ["x", "y"]}, "different lengths: 1, 2"),
        ({"n": ["secret"], "t": ["x"]}, "a cell of the column n is no number"),
        ({"n": [1], "t": [5]}, "a cell of the column t is no text"),
        ({"n": [1], "t": ["\ud800"]}, "a cell of the column t is no text"),
        ({"n": [math.inf], "t": ["x"]}, "a cell of the column n is infinite"),
    ],
)
@pytest.mark.parametrize("format_", Format)
def test_cells_that_do_not_fit_leave_no_file_and_are_not_quoted(tmp_path: Path, format_: Format, table, message: str):
    columns = (Column("n", Kind.NUMBER), Column("t", Kind.TEXT))
    with pytest.raises(ValueError, match=message) as raised:
        written(tmp_path / "rows", format_, {"n": [1.0], "t": ["x"]}, table, columns=columns)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", Format)
def test_after_an_error_the_file_of_before_is_still_there(tmp_path: Path, format_: Format):
    path = written(tmp_path / "rows", format_, cells([(1, 0.5, "x", True, None)]))
    before = path.read_bytes()

    def _fail() -> None:
        with TableWriter(path, format_, COLUMNS) as writer:
            writer.write(cells([(2, 0.5, "x", True, None)]))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _fail()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_only_we_can_read_the_file(tmp_path: Path):
    assert stat.S_IMODE(written(tmp_path / "rows.csv", Format.CSV).stat().st_mode) == 0o600


def test_rows_are_written_inside_the_block(tmp_path: Path):
    with pytest.raises(ValueError, match="inside the with block"):
        TableWriter(tmp_path / "rows.csv", Format.CSV, COLUMNS).write(cells([]))


@pytest.mark.parametrize("format_", [Format.CSV, Format.PARQUET])
def test_parts_with_other_columns_are_not_joined(tmp_path: Path, format_: Format):
    part = written(tmp_path / "part", format_, {"n": [1]}, columns=(Column("n", Kind.INTEGER),))
    with pytest.raises(ValueError, match="the part part has"):
        join_parts([part], tmp_path / "joined", format_, COLUMNS)
    assert list(tmp_path.iterdir()) == [part]


def test_errors_have_their_row_column_and_reason(tmp_path: Path):
    errors = [RowError(3, "age", "is not a number"), RowError(7, None, "has 2 cells, the header has 3")]
    path = written(tmp_path / "errors.csv", Format.CSV, error_cells(errors), columns=ERROR_COLUMNS)
    assert path.read_text() == 'row,column,reason\n3,age,is not a number\n7,,"has 2 cells, the header has 3"\n'
