"""Whatever form a client gives its tensors, the model gets the same rows; or the client is told what is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backend.api.v2.schemas import RequestInput
from backend.api.v2.tensors import DATATYPES, EXACT, MOST_ROWS, read_rows
from backend.errors import ValidationFailed

ABC = ("a", "b", "c")


def tensor(name="x", *, shape, data=None, datatype="FP64", **parameters):
    return RequestInput(name=name, shape=shape, datatype=datatype, data=data, parameters=parameters)


def reason(*inputs, binary=b"", columns=ABC) -> str:
    with pytest.raises(ValidationFailed) as refused:
        read_rows(inputs, binary, columns)
    (field,) = refused.value.fields
    return f"{field.field}: {field.reason}"


@st.composite
def typed_arrays(draw):
    """An array of any of the protocol's types, of at most three columns, with values that float64 holds exactly."""
    name = draw(st.sampled_from(sorted(DATATYPES)))
    kind = DATATYPES[name]
    shape = draw(st.tuples(st.integers(0, 4), st.integers(1, 3)))
    if kind.dtype.kind == "f":
        elements = st.floats(width=8 * kind.dtype.itemsize, allow_nan=False, allow_infinity=False)
    else:
        elements = st.integers(int(kind.low), int(kind.high))
    return name, draw(arrays(kind.dtype, shape, elements=elements))


def listed(name: str, array: np.ndarray) -> list:
    return (array.astype(bool) if name == "BOOL" else array).tolist()


@given(typed_arrays(), st.sampled_from(["flat", "nested", "bytes"]))
def test_a_tensor_of_any_type_and_form_gives_its_values(typed, form):
    name, array = typed
    columns = ABC[: array.shape[1]]
    shape, binary = list(array.shape), b""
    if form == "bytes":
        binary = array.tobytes()
        one = tensor(shape=shape, datatype=name, binary_data_size=len(binary))
    else:
        one = tensor(shape=shape, datatype=name, data=listed(name, array.ravel() if form == "flat" else array))
    rows = read_rows([one], binary, columns)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, array.astype(np.float64))


@given(typed_arrays(), st.permutations(ABC), st.booleans(), st.booleans())
def test_one_tensor_for_each_column_gives_the_same_rows_in_any_order(typed, order, upright, as_bytes):
    name, array = typed
    columns = ABC[: array.shape[1]]
    shape = [len(array), 1] if upright else [len(array)]
    inputs, binary = [], b""
    for column in (one for one in order if one in columns):
        values = array[:, columns.index(column)]
        if as_bytes:
            inputs.append(tensor(column, shape=shape, datatype=name, binary_data_size=values.nbytes))
            binary += values.tobytes()
        else:
            inputs.append(tensor(column, shape=shape, datatype=name, data=listed(name, values)))
    np.testing.assert_array_equal(read_rows(inputs, binary, columns), array.astype(np.float64))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)


@given(
    st.lists(json_values, max_size=4),
    st.lists(st.integers(0, 3), min_size=1, max_size=2),
    st.sampled_from([*DATATYPES, "BYTES", "FP"]),
    st.binary(max_size=9),
)
def test_nonsense_is_refused_or_read_and_never_anything_else(data, shape, datatype, binary):
    try:
        rows = read_rows([tensor("a", shape=shape, data=data, datatype=datatype)], binary, ABC)
    except ValidationFailed:
        return
    assert rows.shape == tuple(shape)
    assert not np.isinf(rows).any()


@pytest.mark.parametrize("datatype", ["FP64", "FP16", "INT8", "UINT64"])
def test_null_is_a_missing_value(datatype):
    rows = read_rows([tensor(shape=[1, 3], data=[1, None, 3], datatype=datatype)], b"", ABC)
    np.testing.assert_array_equal(rows, [[1.0, np.nan, 3.0]])


def test_single_precision_is_that_of_the_type():
    (row,) = read_rows([tensor(shape=[1, 3], data=[0.1, 0.2, 0.3], datatype="FP32")], b"", ABC)
    np.testing.assert_array_equal(row, np.array([0.1, 0.2, 0.3], dtype=np.float32).astype(float))


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("FP64", 10**400),
        ("FP64", float("inf")),
        ("FP32", 1e39),
        ("FP16", 70_000.0),
        ("INT8", 128),
        ("UINT8", -1),
        ("INT64", EXACT + 1),
        ("UINT64", 10**400),
    ],
)
def test_what_a_type_cannot_hold_is_refused(datatype, value):
    assert "too large" in reason(tensor(shape=[1, 3], data=[1, value, 1], datatype=datatype))


@pytest.mark.parametrize(
    ("datatype", "value"), [("FP64", "1.5"), ("FP64", True), ("INT32", 1.0), ("BOOL", 1), ("FP64", {}), ("FP64", [1])]
)
def test_values_of_another_type_are_refused(datatype, value):
    others = [True, False] if datatype == "BOOL" else [1, 2]
    assert reason(tensor(shape=[1, 3], data=[*others, value], datatype=datatype)) == (
        f"inputs.0.data: some values are not {datatype}"
    )


def test_a_name_of_a_column_is_not_needed_for_a_whole_matrix():
    rows = read_rows([tensor("a", shape=[1, 3], data=[1, 2, 3])], b"", ABC)
    np.testing.assert_array_equal(rows, [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ({"shape": [1, 3], "data": [1, 2]}, "inputs.0.data: 2 values; the shape [1, 3] takes 3"),
        ({"shape": [2, 3], "data": [[1, 2, 3]]}, "inputs.0.data: its lists are not of the shape [2, 3]"),
        ({"shape": [2, 3], "data": [[1, 2], [3, 4], [5, 6]]}, "inputs.0.data: its lists are not of the shape [2, 3]"),
        ({"shape": [2, 3], "data": [[1, 2, 3], [4, 5]]}, "inputs.0.data: its lists are not of the shape [2, 3]"),
        ({"shape": [2, 3], "data": [[1, 2, 3], 4]}, "inputs.0.data: its lists are not of the shape [2, 3]"),
        ({"shape": [1, 3]}, "inputs.0.data: it is missing"),
        ({"shape": [MOST_ROWS + 1, 3], "data": []}, "inputs.0.shape: at most 10,000 rows are predicted at once"),
        ({"shape": [1, 3], "data": ["x"] * 3, "datatype": "BYTES"}, "inputs.0.datatype: not a type of numbers"),
        ({"shape": [1, 4], "data": [1, 2, 3, 4]}, "inputs.0.name: not a column of the model"),
        ({"name": "a", "shape": [1, 2], "data": [1, 2]}, "inputs.0.shape: not [1] or [1, 1]; the model takes one"),
        ({"name": "a", "shape": [1], "data": [1]}, "inputs: columns are missing: b, c"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_with_the_reason(one, expected):
    assert reason(tensor(**one)).startswith(expected)


def test_columns_given_twice_unknown_or_of_different_lengths_are_refused():
    a, b = tensor("a", shape=[2], data=[1, 2]), tensor("b", shape=[2], data=[1, 2])
    assert reason(a, b, a).startswith("inputs.2.name: not a column of the model, or given twice")
    assert reason(a, b, tensor("d", shape=[2], data=[1, 2])).startswith("inputs.2.name: not a column")
    assert reason(a, b, tensor("c", shape=[1], data=[1])).startswith("inputs.2.shape: not [2] or [2, 1]")


@pytest.mark.parametrize("size", [23, 25, -1, "24", 24.0, True])
def test_bytes_that_are_not_those_of_the_shape_are_refused(size):
    said = reason(tensor(shape=[1, 3], binary_data_size=size), binary=bytes(24))
    assert said.startswith("inputs.0.parameters.binary_data_size: ")


def test_bytes_that_belong_to_no_input_and_values_given_twice_are_refused():
    one = tensor(shape=[1, 3], data=[1, 2, 3])
    assert reason(one, binary=b"12345") == "inputs: 5 bytes of the body belong to no input"
    twice = tensor(shape=[1, 3], data=[1, 2, 3], binary_data_size=24)
    assert reason(twice, binary=bytes(24)).startswith("inputs.0.data: the values are given twice")


def test_no_reason_quotes_a_value():
    assert "123456" not in reason(tensor(shape=[1, 3], data=[1, 2, "123456"]))
