import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.errors import BadFile
from backend.tabular.formats import Format
from backend.tabular.layout import Layout, Part, lay_out


def laid_out(path: Path, format_: Format = Format.CSV, *, part_bytes: int = 8 << 20) -> Layout:
    return lay_out(path, format_, progress=lambda _: None, part_bytes=part_bytes)


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x")
    return content.getvalue()


def test_a_file_is_cut_behind_the_row_that_fills_a_part(file_of):
    layout = laid_out(file_of("a,b\n1,2\n3,4\n5,6\n"), part_bytes=6)
    assert layout == Layout(
        format=Format.CSV,
        columns=("a", "b"),
        rows=3,
        parts=(
            Part(number=0, first_row=1, rows=2, start=4, stop=12),
            Part(number=1, first_row=3, rows=1, start=12, stop=16),
        ),
    )


def test_a_layout_survives_json(file_of):
    layout = laid_out(file_of("a\n1\n2\n"), part_bytes=1)
    assert Layout.model_validate_json(layout.model_dump_json()) == layout


def test_blank_lines_are_no_rows(file_of):
    layout = laid_out(file_of("\n\r\na,b\n\n1,2\n\r\n\n3,4\n\n\n"), part_bytes=1)
    assert layout.rows == 2
    assert [(part.first_row, part.rows) for part in layout.parts] == [(1, 1), (2, 1)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(file_of):
    assert laid_out(file_of("\ufeffa,b\n1,2\n")).columns == ("a", "b")


def test_names_are_cells_with_quotes_and_without_blanks_around(file_of):
    assert laid_out(file_of('" a ",b c ,"x,\n""y"""\r\n1,2,3')).columns == ("a", "b c", 'x,\n"y"')


def test_a_last_line_without_line_feed_is_a_row(file_of):
    layout = laid_out(file_of("a\n1\n2"), part_bytes=2)
    assert [(part.start, part.stop) for part in layout.parts] == [(2, 4), (4, 5)]


def test_columns_of_ndjson_are_the_keys_of_its_lines(file_of):
    path = file_of('{"a": 1}\n{"b": 2, "a": 3}\nnonsense\n', Format.NDJSON)
    layout = laid_out(path, Format.NDJSON)
    assert (layout.columns, layout.rows) == (("a", "b"), 3)


def test_parts_of_parquet_are_whole_row_groups(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": list(range(10))}), path, row_group_size=3)
    assert [(part.first_row, part.rows, part.start, part.stop) for part in laid_out(path, Format.PARQUET).parts] == [
        (1, 10, 0, 4)
    ]
    parts = laid_out(path, Format.PARQUET, part_bytes=1).parts
    assert [(part.number, part.first_row, part.rows, part.start, part.stop) for part in parts] == [
        (0, 1, 3, 0, 1),
        (1, 4, 3, 1, 2),
        (2, 7, 3, 2, 3),
        (3, 10, 1, 3, 4),
    ]


def test_progress_ends_at_one_and_may_stop_the_work(file_of):
    path, told = file_of("a\n1\n2\n3\n"), []
    lay_out(path, Format.CSV, progress=told.append, part_bytes=1)
    assert told == [0.5, 0.75, 1.0, 1.0]

    def _stop(_fraction: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        lay_out(path, Format.CSV, progress=_stop)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n\r\n", "nothing but blank lines"),
        ("a,b\n", "no rows, only a header"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,b,a \n1,2,3\n", "columns 1 and 3 have the same name"),
        (",".join(f"c{n}" for n in range(1001)) + "\n1\n", "1001 columns; send at most 1000"),
        ("a;b\n1;2\n", "separated by semicolons; separate them by commas"),
        ("a\tb\n1\t2\n", "separated by tabs"),
        ('a,b"c\n1,2\n', "the header has quotes that are not in order"),
        ("x" * (1 << 20) + "\n1\n", "the header is longer than 1 MiB"),
        ("a,b\r1,2\r", "the header has a carriage return"),
        ("größe,b\n1,2\n".encode("latin-1"), "byte 3 of the header is not UTF-8; save the file as CSV UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"abcdef\x00\n1\n", "the header holds a zero byte"),
        (gzip.compress(b"a\n1\n", mtime=0), "compressed with gzip; send it uncompressed"),
        (zipped("rows.csv"), "zip archive; send the file in it"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel workbook; save its sheet as CSV UTF-8"),
        (zipped("rows.csv")[:30], "zip archive"),
        (b"\xd0\xcf\x11\xe0" + b"\x00" * 9, "Excel workbook"),
        (b"PAR1....PAR1", r"Parquet; send it as application/vnd\.apache\.parquet"),
        ('{"a": 1}\n', "send it as application/x-ndjson"),
    ],
)
def test_csv_that_cannot_be_read_is_refused_with_what_to_do(file_of, content: bytes | str, message: str):
    with pytest.raises(BadFile, match=message):
        laid_out(file_of(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "the first line is not a JSON object"),
        ("1\n", "the first line is not a JSON object"),
        ('[{"a": 1}]\n', "a JSON array"),
        ('{"a": 1\n', "the first line is not a JSON object"),
        ('{"a": [' + "[" * 100_000 + "\n", "the first line is not a JSON object"),
        ('{"": 1}\n', "column 1 has no name"),
        (json.dumps({f"c{n}": n for n in range(1001)}), "1001 columns"),
    ],
)
def test_ndjson_that_cannot_be_read_is_refused_with_what_to_do(file_of, content: str, message: str):
    with pytest.raises(BadFile, match=message):
        laid_out(file_of(content, Format.NDJSON), Format.NDJSON)


def parquet_of(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


PARQUET = parquet_of(pa.table({"a": [1, 2]}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "does not begin with PAR1"),
        (PARQUET[:-10], "cut off: it does not end with PAR1"),
        (PARQUET[:40] + b"PAR1", "damaged"),
        (parquet_of(pa.table({"a": pa.array([], pa.int64())})), "the file has no rows"),
        (
            parquet_of(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])),
            "columns 1 and 2 have the same name",
        ),
    ],
)
def test_parquet_that_cannot_be_read_is_refused_with_what_to_do(file_of, content: bytes, message: str):
    with pytest.raises(BadFile, match=message):
        laid_out(file_of(content, Format.PARQUET), Format.PARQUET)
