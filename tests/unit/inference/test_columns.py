import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ColumnsMismatch
from backend.inference.columns import ColumnOrder
from backend.inference.manifest import Column

NAMES = ("age", "count", "rate")


def column(name: str, dtype: str = "float64") -> Column:
    return Column.model_validate({"name": name, "dtype": dtype, "unit": "1", "description": name})


FLOATS = ColumnOrder(tuple(column(name) for name in NAMES))
MIXED = ColumnOrder((column("age"), column("count", "int32"), column("rate", "float32")))


def frame(**changes: object) -> pd.DataFrame:
    return pd.DataFrame({"age": [1.5, 2.5], "count": [3, 4], "rate": [0.5, 0.25]} | changes)


@given(
    order=st.permutations(NAMES),
    values=st.lists(st.tuples(*[st.floats(allow_nan=True, width=64)] * 3), min_size=0, max_size=5),
)
def test_a_frame_gives_the_same_rows_whatever_the_order_of_its_columns(
    order: list[str], values: list[tuple[float, ...]]
) -> None:
    expected = np.array(values, dtype=np.float64).reshape(len(values), 3)
    data = pd.DataFrame(expected, columns=list(NAMES))[list(order)]
    rows = FLOATS.rows(data)
    np.testing.assert_array_equal(rows, expected)
    assert rows.flags.c_contiguous
    assert rows.dtype == np.float64


def test_missing_unknown_and_repeated_columns_are_each_named() -> None:
    data = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], columns=["age", "age", "height", "count"])
    with pytest.raises(ColumnsMismatch) as caught:
        FLOATS.rows(data)
    assert str(caught.value) == "columns missing: rate; not known to the model: height; given more than once: age"


@pytest.mark.parametrize(
    "values", [["3", "4"], pd.Categorical(["x", "y"]), pd.to_datetime(["2025-01-01", "2025-01-02"]), [1j, 2j]]
)
def test_a_column_that_is_not_a_number_is_named_and_its_values_are_not(values: object) -> None:
    with pytest.raises(ColumnsMismatch, match="column 'count' has dtype") as caught:
        FLOATS.rows(frame(count=values))
    assert "'3'" not in str(caught.value)


def test_booleans_and_nullable_numbers_are_numbers() -> None:
    data = frame(age=pd.array([True, False]), count=pd.array([7, None], dtype="Int64"))
    np.testing.assert_array_equal(FLOATS.rows(data), [[1.0, 7.0, 0.5], [0.0, np.nan, 0.25]])


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 2.0**31])
def test_a_whole_number_column_takes_no_other_value_and_names_itself(bad: float) -> None:
    for data in (frame(count=[3.0, bad]), np.array([[1.5, 3.0, 0.5], [2.5, bad, 0.25]])):
        with pytest.raises(ColumnsMismatch, match="'count' holds whole numbers"):
            MIXED.rows(data)


def test_a_float32_column_is_rounded_as_it_was_in_training_and_the_callers_array_is_not() -> None:
    data = np.array([[0.1, 3.0, 0.1]])
    np.testing.assert_array_equal(MIXED.rows(data), [[0.1, 3.0, np.float64(np.float32(0.1))]])
    np.testing.assert_array_equal(data, [[0.1, 3.0, 0.1]])


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 4), (1, 2, 3)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ColumnsMismatch, match=r"the model takes \(n, 3\)"):
        FLOATS.rows(np.zeros(shape))


def test_an_array_of_text_or_objects_is_refused() -> None:
    for data in (np.array([["1", "2", "3"]]), np.array([[1, 2, None]], dtype=object)):
        with pytest.raises(ColumnsMismatch, match="takes numbers"):
            FLOATS.rows(data)


def test_a_plain_list_is_refused() -> None:
    with pytest.raises(ColumnsMismatch, match="not list"):
        FLOATS.rows([[1.0, 2.0, 3.0]])


def test_a_float64_array_in_c_order_is_not_copied() -> None:
    data = np.zeros((1, 3))
    assert FLOATS.rows(data) is data


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
def test_any_numeric_array_becomes_float64_in_c_order(dtype: str) -> None:
    rows = FLOATS.rows(np.ones((3, 4), dtype=dtype).T)
    assert rows.dtype == np.float64
    assert rows.flags.c_contiguous
    assert rows.tolist() == [[1.0] * 3] * 4
