import csv
import io
import tracemalloc
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.tabular.blocks import RowError
from backend.tabular.cells import NO_NUMBER
from backend.tabular.formats import Format
from backend.tabular.scan import BAD_QUOTES, MAX_RECORD, TOO_LONG
from backend.tabular.text import NOT_UTF8

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@given(
    names=st.lists(TEXTS.map(str.strip), min_size=2, max_size=3, unique=True),
    data=st.data(),
    part_bytes=st.integers(1, 99),
)
def test_what_csv_writer_wrote_reads_back_whatever_the_parts(records, folder: Path, names, data, part_bytes: int):
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
        assert [value or "" for value in values.values()] == [cell.strip() for cell in row]


def test_row_numbers_stay_exact_behind_bad_rows_blank_lines_and_parts(numbers, file_of):
    path = file_of(
        "a,b\r\n"
        "1,2\r\n"
        "\r\n"
        "1\r\n"  # 2
        '"3\r\n",4\r\n'  # 3
        "x,6\n"  # 4
        '7","8\n'  # 5
        "\n"
        "9,\n"  # 6
        "10,11,12\n"  # 7
        "13,14"  # 8
    )
    for part_bytes in (1, 10, 20, 1000):
        found = numbers(path, Format.CSV, ["a", "b"], part_bytes=part_bytes)
        assert found.rows.tolist() == [1, 3, 6, 8]
        np.testing.assert_array_equal(found.values, [[1, 2], [3, 4], [9, np.nan], [13, 14]])
        assert found.errors == (
            RowError(2, None, "has 1 cell, the header has 2"),
            RowError(4, "a", NO_NUMBER),
            RowError(5, None, BAD_QUOTES),
            RowError(7, None, "has 3 cells, the header has 2"),
        )


def test_rows_that_are_not_utf8_or_hold_zero_bytes_are_left_out(numbers, records, file_of):
    path = file_of("a,b\n1,ä\n2,".encode() + b"\xff\n3,\x00\n4,\xe2\x82\xac\n")
    found = records(path, Format.CSV, ["a", "b"])
    assert found.rows == ((1, {"a": "1", "b": "ä"}), (4, {"a": "4", "b": "€"}))
    assert found.errors == (RowError(2, None, NOT_UTF8), RowError(3, None, NOT_UTF8))
    assert numbers(path, Format.CSV, ["a"]).errors == found.errors


def test_a_row_that_is_too_long_is_left_out(numbers, file_of):
    path = file_of("a,b\n1,2\n3," + "x" * MAX_RECORD + "\n5,6\n")
    found = numbers(path, Format.CSV, ["a", "b"])
    assert found.rows.tolist() == [1, 3]
    assert found.errors == (RowError(2, None, TOO_LONG),)


def test_a_block_has_at_most_32768_rows(blocks, file_of):
    path = file_of("a\n" + "1\n" * 70_000)
    assert [block.size for block in blocks(path, Format.CSV, ["a"])] == [32_768, 32_768, 4_464]


def test_the_first_wrong_cell_of_a_row_is_its_error(numbers, file_of):
    path = file_of("a,b,c\n1,2,3\nx,y,3\n1,y,3\n")
    assert numbers(path, Format.CSV, ["c", "b", "a"]).errors == (
        RowError(2, "b", NO_NUMBER),
        RowError(3, "b", NO_NUMBER),
    )


def test_no_reason_holds_a_cell(numbers, file_of):
    path = file_of("name,a\nMiller,secret\nSmith,1,2\nJones,1\n")
    assert "secret" not in str(numbers(path, Format.CSV, ["a"]).errors)
    assert "Smith" not in str(numbers(path, Format.CSV, ["a"]).errors)


def test_cells_of_csv_that_are_missing_are_none(records, file_of):
    path = file_of('a,b,c\n  , x ,""\nnan,NaN,null\n')
    assert [values for _, values in records(path, Format.CSV, ["a", "b", "c"]).rows] == [
        {"a": None, "b": "x", "c": None},
        {"a": "nan", "b": "NaN", "c": "null"},
    ]


def test_the_memory_of_csv_does_not_grow_with_the_file(blocks, numbers, file_of):
    path = file_of("a,b\n" + "1.5,2.5\n" * 2_000_000)
    tracemalloc.start()
    try:
        rows = sum(len(block.numbers(["a", "b"]).rows) for block in blocks(path, Format.CSV, ["a", "b"]))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 2_000_000
    assert most < 24 << 20
