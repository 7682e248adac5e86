"""A long table becomes a panel, or is refused with file, line, series and date."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.forecasting.panel import ONE_DAY, Panel
from backend.domains.blood.forecasting.reading import DAYS_MOST, Filled, read_long_csv
from backend.errors import InputError

HEADER = "day,district,group,units\n"
Read = Callable[..., tuple[Panel, Filled]]


def read(path: Path, **options: bool) -> tuple[Panel, Filled]:
    return read_long_csv(path, date="day", value="units", by=("district", "group"), **options)


@pytest.fixture
def read_text(tmp_path: Path) -> Read:
    """Read what a file with these lines after the header says."""

    def read_lines(*lines: str, header: str = HEADER, **options: bool) -> tuple[Panel, Filled]:
        path = tmp_path / "demand.csv"
        path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
        return read(path, **options)

    return read_lines


GOOD = ("2026-02-27,Kollam,O+,3", "2026-02-28,Kollam,O+,0", "2026-03-01,Kollam,O+,2")


def test_a_line_is_a_series_on_a_day(read_text: Read):
    panel, filled = read_text("2026-02-28,Kollam,O+,3", "2026-02-27,Wayanad,A-,1.5", "2026-02-27,Kollam,O+,2", GOOD[2])
    assert panel.days.astype(str).tolist() == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert panel.names == ("district", "group")
    assert panel.keys == (("Kollam", "O+"), ("Wayanad", "A-"))
    assert panel.values.tolist() == [[2, 3, 2], [1.5, 0, 0]]
    assert filled == Filled(2, "Wayanad / A- on 2026-02-28")


def test_other_columns_and_their_order_do_not_matter(read_text: Read):
    panel, _ = read_text(" 3 ,x,O+,  Kollam,2026-02-27", header="units,note,group,district,day\n")
    assert panel.keys == (("Kollam", "O+"),)
    assert panel.values.tolist() == [[3]]


def test_names_that_look_like_numbers_or_nothing_stay_names(read_text: Read):
    panel, _ = read_text("2026-02-27,007,NA,1", "2026-02-27,7,nan,2")
    assert panel.keys == (("007", "NA"), ("7", "nan"))


def test_before_its_first_line_a_series_is_not_observed(read_text: Read):
    panel, filled = read_text(*GOOD, "2026-03-01,Wayanad,A-,4")
    np.testing.assert_array_equal(panel.values[1], [np.nan, np.nan, 4.0])
    assert filled == Filled(0, "")


def test_a_day_missing_in_one_series_is_a_day_without_demand(read_text: Read):
    panel, filled = read_text(*GOOD, "2026-02-27,Wayanad,A-,4", "2026-03-01,Wayanad,A-,5")
    assert panel.values[1].tolist() == [4, 0, 5]
    assert filled == Filled(1, "Wayanad / A- on 2026-02-28")


def test_a_day_missing_in_all_series_is_refused_unless_it_was_without_demand(read_text: Read):
    lines = (GOOD[0], "2026-02-27,Wayanad,A-,1", "2026-03-02,Kollam,O+,5", "2026-03-02,Wayanad,A-,1")
    with pytest.raises(
        InputError, match=r"demand\.csv, line 4: no series has a line between 2026-02-27 and 2026-03-02; .*--gaps zero"
    ):
        read_text(*lines)
    panel, filled = read_text(*lines, gaps_are_zero=True)
    assert panel.values.tolist() == [[3, 0, 0, 5], [1, 0, 0, 1]]
    assert filled == Filled(4, "Kollam / O+ on 2026-02-28")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2026-02-27,Kollam,O+,9", "Kollam / O+ on 2026-02-27 is already in line 2; keep one line"),
        ("2026-03-02,Kollam,O+,-1", "the value '-1' is negative"),
        ("2026-03-02,Kollam,O+,three", "the value 'three' is not a number"),
        ("2026-03-02,Kollam,O+,nan", "the value 'nan' is not a number"),
        ("2026-03-02,Kollam,O+,inf", "the value 'inf' is not a number"),
        ("2026-03-02,Kollam,O+,", "the value is empty; write 0 for a day without demand"),
        ("2026-03-02,Kollam,O+", "the value is empty"),
        ("2026-03-02,Kollam,,1", "group is empty"),
        ("2026-03-02, ,O+,1", "district is empty"),
        (",Kollam,O+,1", "the date '' is not written as YYYY-MM-DD"),
        ("02/03/2026,Kollam,O+,1", "the date '02/03/2026' is not written as YYYY-MM-DD"),
        ("2026-02-30,Kollam,O+,1", "the date '2026-02-30' is not written as YYYY-MM-DD"),
        ("tomorrow,Kollam,O+,1", "the date 'tomorrow' is not written as YYYY-MM-DD"),
        ("2026-03-02T10:30,Kollam,O+,1", "'2026-03-02T10:30' is not a whole day"),
    ],
)
def test_a_wrong_line_is_named(read_text: Read, line: str, message: str):
    with pytest.raises(InputError, match=re.escape(f"demand.csv, line 5: {message}")):
        read_text(*GOOD, line)


def test_a_mistyped_year_is_asked_about(read_text: Read):
    message = r"demand\.csv spans [\d,]+ days; is the year of 1026-03-02 in line 5 mistyped\?"
    # Before 1678 a date does not fit into nanoseconds either.
    with pytest.raises(InputError, match=message):
        read_text(*GOOD, "1026-03-02,Kollam,O+,1")


@pytest.mark.parametrize("year", ["1726", "2206"])
def test_a_span_that_no_service_has_is_refused(read_text: Read, year: str):
    with pytest.raises(InputError, match=rf"is the year of {year}-03-02 in line 5 mistyped\?"):
        read_text(*GOOD, f"{year}-03-02,Kollam,O+,1", gaps_are_zero=True)


def test_the_longest_span_is_read(read_text: Read):
    last = np.datetime64("2026-02-27", "D") + ONE_DAY * (DAYS_MOST - 1)
    panel, _ = read_text(GOOD[0], f"{last},Kollam,O+,1", gaps_are_zero=True)
    assert len(panel.days) == DAYS_MOST


def test_a_missing_column_is_named_with_those_there_are(read_text: Read):
    with pytest.raises(InputError, match=re.escape("demand.csv has no column group; it has day, district, units")):
        read_text("2026-02-27,Kollam,1", header="day,district,units\n")


@pytest.mark.parametrize(
    ("date", "value", "by"),
    [
        ("day", "day", ("group",)),
        ("day", "units", ("day",)),
        ("day", "units", ("group", "group")),
        ("day", "units", ()),
    ],
)
def test_one_column_cannot_be_two_things(tmp_path: Path, date: str, value: str, by: tuple[str, ...]):
    with pytest.raises(InputError, match="must be different columns"):
        read_long_csv(tmp_path / "demand.csv", date=date, value=value, by=by)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CSV table: No columns to parse from file"),
        (HEADER.encode(), "has a header and no lines"),
        ((HEADER + ",,,\n\n").encode(), "has a header and no lines"),
        (HEADER.encode() + b"2026-02-27,K\xe4,O+,1\n", "is not text in UTF-8"),
        ((HEADER + "2026-02-27,Kollam,O+,1,2\n" + GOOD[1]).encode(), ", line 2: more fields than the header names"),
        ((HEADER + GOOD[0] + "\n2026-02-28,Kollam,O+,1,2\n").encode(), "is not a CSV table: .*line 3"),
        ((HEADER + '2026-02-27,"Kollam,O+,1\n').encode(), "is not a CSV table"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "demand.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"demand\.csv ?{message}") as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n,,,\n", "\r\n\r\n"])
def test_blank_lines_at_the_end_are_how_a_file_ends(tmp_path: Path, end: str):
    path = tmp_path / "demand.csv"
    path.write_text(HEADER + "\n".join(GOOD) + end, encoding="utf-8")
    assert read(path)[0].values.tolist() == [[3, 0, 2]]


def test_a_blank_line_in_the_middle_is_refused_and_counted(read_text: Read):
    with pytest.raises(InputError, match=r"demand\.csv, line 3: the date '' is not"):
        read_text(GOOD[0], "", *GOOD[1:])


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path):
    path = tmp_path / "demand.csv"
    path.write_text(HEADER + "\n".join(GOOD), encoding="utf-8-sig")
    assert read(path)[0].values.tolist() == [[3, 0, 2]]


NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=5)


@st.composite
def panels(draw) -> Panel:
    keys = sorted(draw(st.sets(st.tuples(NAMES, NAMES), min_size=1, max_size=4)))
    days = draw(st.integers(1, 8))
    amounts = st.integers(0, 99) | st.floats(0.0, 1e6)
    values = np.array(
        draw(st.lists(st.lists(amounts, min_size=days, max_size=days), min_size=len(keys), max_size=len(keys))),
        dtype=np.float64,
    )
    for row in range(1, len(keys)):  # the first series is there from the first day, so that there is one
        values[row, : draw(st.integers(0, days - 1))] = np.nan
    first = np.datetime64("2000-01-01", "D") + ONE_DAY * draw(st.integers(-5_000, 20_000))
    return Panel.of(days=first + np.arange(days), names=("district", "group"), keys=tuple(keys), values=values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("read")


@settings(max_examples=20)
@given(panel=panels(), order=st.randoms(use_true_random=False))
def test_what_is_written_is_read_whatever_its_order(folder: Path, panel: Panel, order):
    lines = [
        (day, *key, repr(float(value)))
        for key, values in zip(panel.keys, panel.values, strict=True)
        for day, value in zip(panel.days.astype(str), values, strict=True)
        if not np.isnan(value)
    ]
    order.shuffle(lines)
    path = folder / "panel.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("day", "district", "group", "units"), *lines])
    found, filled = read(path)
    assert found.keys == panel.keys
    np.testing.assert_array_equal(found.days, panel.days)
    np.testing.assert_allclose(found.values, panel.values, rtol=1e-15)
    assert filled == Filled(0, "")
