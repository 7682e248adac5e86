import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.errors import BadFile
from backend.tabular.blocks import RowError
from backend.tabular.cells import INFINITE, NO_NUMBER
from backend.tabular.formats import Format
from backend.tabular.text import NOT_UTF8


def parquet_of(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_gives_its_values_with_dates_and_times_as_iso_8601(records, tmp_path: Path):
    moment = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    path = parquet_of(
        tmp_path / "rows.parquet",
        number=pa.array([1.5, math.nan]),
        whole=pa.array([7, None]),
        flag=pa.array([True, None]),
        text=pa.array(["ä", None]).dictionary_encode(),
        decimal=pa.array([Decimal("1.25"), None]),
        day=pa.array([date(2026, 3, 29), None]),
        moment=pa.array([moment, None], pa.timestamp("ns", "UTC")),
        local=pa.array([moment.replace(tzinfo=None), None], pa.timestamp("ms")),
        clock=pa.array([time(1, 30), None], pa.time32("s")),
        nothing=pa.nulls(2),
    )
    names = pq.read_schema(path).names
    (_, first), (_, second) = records(path, Format.PARQUET, names).rows
    assert first == {
        "number": 1.5,
        "whole": 7,
        "flag": True,
        "text": "ä",
        "decimal": 1.25,
        "day": "2026-03-29",
        "moment": "2026-03-29T01:30:00+00:00",
        "local": "2026-03-29T01:30:00",
        "clock": "01:30:00",
        "nothing": None,
    }
    assert second == dict.fromkeys(names)


def test_numbers_of_parquet_are_of_any_type_that_holds_some(numbers, tmp_path: Path):
    path = parquet_of(
        tmp_path / "rows.parquet",
        small=pa.array([1, None, 3, 4], pa.int8()),
        half=pa.array([0.5, 1, 2, math.inf], pa.float16()),
        flag=pa.array([True, False, None, True]),
        decimal=pa.array([Decimal("1.25"), None, None, None]),
        text=pa.array(["1e3", " ", "x", "1"]),
        nothing=pa.nulls(4),
    )
    names = pq.read_schema(path).names
    found = numbers(path, Format.PARQUET, names)
    np.testing.assert_array_equal(
        found.values, [[1, 0.5, 1, 1.25, 1000, np.nan], [np.nan, 1, 0, np.nan, np.nan, np.nan]]
    )
    assert found.errors == (RowError(3, "text", NO_NUMBER), RowError(4, "half", INFINITE))


def test_a_date_of_parquet_is_no_number(numbers, tmp_path: Path):
    path = parquet_of(tmp_path / "rows.parquet", day=pa.array([date(2026, 1, 1), None]))
    found = numbers(path, Format.PARQUET, ["day"])
    assert (found.rows.tolist(), found.errors) == ([2], (RowError(1, "day", NO_NUMBER),))


@pytest.mark.parametrize("odd", [b"\xff", b"a\x00", b"\x00"])
def test_a_text_of_parquet_that_is_not_utf8_costs_its_row(numbers, records, tmp_path: Path, odd: bytes):
    broken = pa.array([b"a", odd, None, b"d"]).view(pa.string())
    path = parquet_of(tmp_path / "rows.parquet", text=broken, number=pa.array([1.0, 2.0, 3.0, 4.0]))
    found = records(path, Format.PARQUET, ["text", "number"])
    assert [row for row, _ in found.rows] == [1, 3, 4]
    assert found.errors == (RowError(2, "text", NOT_UTF8),)
    assert numbers(path, Format.PARQUET, ["number"]).rows.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("column", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"x"])])
def test_a_column_of_parquet_that_is_no_column_of_a_table_is_refused_when_it_is_wanted(
    numbers, tmp_path: Path, column: pa.Array
):
    path = parquet_of(tmp_path / "rows.parquet", odd=column, plain=pa.array([1]))
    assert numbers(path, Format.PARQUET, ["plain"]).values.tolist() == [[1]]
    with pytest.raises(BadFile, match="column odd has the type"):
        numbers(path, Format.PARQUET, ["odd"])


def test_damage_within_parquet_is_told(numbers, tmp_path: Path):
    path = parquet_of(tmp_path / "rows.parquet", a=pa.array(np.random.default_rng(0).normal(size=1000)))
    content = bytearray(path.read_bytes())
    content[4:300] = b"\xff" * 296
    path.write_bytes(content)
    with pytest.raises(BadFile, match="damaged"):
        numbers(path, Format.PARQUET, ["a"])


def test_a_large_row_group_is_streamed(blocks, tmp_path: Path):
    path = tmp_path / "rows.parquet"
    values = np.random.default_rng(0).normal(size=(1_000_000, 4))
    pq.write_table(pa.table({name: values[:, place] for place, name in enumerate("abcd")}), path)
    assert pq.read_metadata(path).num_row_groups == 1
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for block in blocks(path, Format.PARQUET, ["a", "c"]):
        most = max(most, pa.total_allocated_bytes() - before)
        assert block.size <= 32_768
        rows += block.size
    assert rows == 1_000_000
    assert most < 8 << 20
