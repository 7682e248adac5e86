import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.tabular.cells import GROUPED, INFINITE, NO_NUMBER, NotANumber, matrix, number_of, numbers_of_texts
from backend.tabular.csv_blocks import CsvBlock
from backend.tabular.text import Piece

CELLS = st.text("0123456789.+-eE _xnaifNIF\t", max_size=7) | st.sampled_from(
    [
        "inf",
        "-Infinity",
        "-nan",
        "nan(1)",
        "NAN",
        "true",
        "FALSE",
        "1e999",
        "1e-999",
        "\xa01",
        "\u0661",
        "0x10",
        "1d",
        "1_0",
    ]
)


def outcome(text: object) -> float | str:
    try:
        return number_of(text)
    except NotANumber as error:
        return str(error)


@pytest.mark.parametrize("text", ["", "  ", "nan", "NaN", "NAN", "\tnan ", None, math.nan])
def test_missing(text: object):
    assert math.isnan(number_of(text))


@pytest.mark.parametrize(
    ("value", "number"),
    [("1", 1), (" -1.5e3 ", -1500), ("+.5", 0.5), ("1.", 1), ("true", 1), ("False", 0), (True, 1), (2**70, 2.0**70)],
)
def test_a_number(value: object, number: float):
    assert number_of(value) == number


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1,5", GROUPED),
        ("1,234.5", GROUPED),
        ("1.234.567", GROUPED),
        ("1 000", GROUPED),
        ("1'000", GROUPED),
        ("1\u202f000", GROUPED),
        ("inf", INFINITE),
        ("-Infinity", INFINITE),
        ("1e999", INFINITE),
        (math.inf, INFINITE),
        (10**400, INFINITE),
        ("abc", NO_NUMBER),
        ("1e", NO_NUMBER),
        ("-nan", NO_NUMBER),
        ("0x10", NO_NUMBER),
        ("\u0661", NO_NUMBER),
        ([1], NO_NUMBER),
    ],
)
def test_no_number(value: object, reason: str):
    assert outcome(value) == reason


def test_a_decimal_comma_or_thousands_separators_are_named_in_the_reason():
    assert "without a decimal comma or thousands separators" in GROUPED


@given(st.lists(CELLS, min_size=1, max_size=20))
def test_a_column_of_texts_has_the_numbers_of_each_text(texts: list[str]):
    values, wrong = numbers_of_texts(pa.array(texts))
    for text, value, is_wrong in zip(texts, values.tolist(), wrong.tolist(), strict=True):
        expected = outcome(text)
        assert is_wrong == isinstance(expected, str)
        if not is_wrong:
            np.testing.assert_equal(value, expected)


@given(st.lists(CELLS, min_size=1, max_size=3), CELLS)
@example(["-nan"], "1")
@example(["inf"], "1")
def test_a_cell_of_csv_does_not_depend_on_those_beside_it(texts: list[str], last: str):
    lines = [f'"{text}"\n'.encode() for text in [*texts, last]]
    rows = np.arange(1, len(lines) + 1)
    piece = Piece(1, len(lines), rows, b"".join(lines), np.cumsum([len(line) for line in lines]), ())
    found = CsvBlock(piece, ("a",)).numbers(["a"])
    outcomes = {row: outcome(text) for row, text in enumerate([*texts, last], start=1)}
    usable = {row: number for row, number in outcomes.items() if isinstance(number, float)}
    assert found.rows.tolist() == list(usable)
    np.testing.assert_array_equal(found.values[:, 0], list(usable.values()))
    assert {error.row: error.reason for error in found.errors} == {
        row: reason for row, reason in outcomes.items() if isinstance(reason, str)
    }


@pytest.mark.parametrize("rows", [0, 1, 1024, 2500])
def test_a_matrix_has_the_columns_side_by_side(rows: int):
    columns = np.random.default_rng(0).normal(size=(3, rows))
    values, finite = matrix([pa.array(column) for column in columns], rows)
    np.testing.assert_array_equal(values, columns.T)
    assert finite
    assert values.flags.c_contiguous


@pytest.mark.parametrize(("cells", "finite"), [([1.0, None], True), ([1.0, math.nan], False), ([math.inf, 1.0], False)])
def test_null_is_no_cell_that_is_not_finite(cells: list[float | None], *, finite: bool):
    assert matrix([pa.array(cells, from_pandas=False)], 2)[1] is finite
