"""From the tensors of a request to the rows of a model, whether their values are JSON or bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from backend.api.v2.schemas import RequestInput
from backend.errors import FieldError, ValidationFailed
from backend.inference.interfaces import Floats

MOST_ROWS = 10_000
EXACT = 2**53 - 1  # whole numbers beyond it are not all exact in the float64 that carries them


@dataclass(frozen=True, slots=True)
class Datatype:
    """One type of numbers: its bytes, the JSON values that fit, and what whole numbers of it may be."""

    dtype: np.dtype[Any]  # little-endian, as the bytes of a request are
    json: frozenset[type]
    low: float = -math.inf
    high: float = math.inf


def _whole(code: str) -> Datatype:
    limits = np.iinfo(code)
    return Datatype(
        np.dtype(code), frozenset({int, type(None)}), low=max(limits.min, -EXACT), high=min(limits.max, EXACT)
    )


def _real(code: str) -> Datatype:
    return Datatype(np.dtype(code), frozenset({int, float, type(None)}))


DATATYPES = {
    "BOOL": Datatype(np.dtype("<u1"), frozenset({bool, type(None)}), low=0, high=1),
    **{f"UINT{8 * size}": _whole(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": _whole(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": _real(f"<f{size}") for size in (2, 4, 8)},
}


def read_rows(inputs: Sequence[RequestInput], binary: bytes, columns: Sequence[str]) -> Floats:
    """Return the rows of a request, shape (n, k), in the order of `columns`; NaN where a value is missing.

    Args:
        inputs: either one tensor of shape (n, k), whatever its name, or one for each column, of shape (n,) or (n, 1).
        binary: the values of those inputs that have a `binary_data_size`, one after the other.
        columns: the names of the model's columns.

    Raises:
        ValidationFailed: the tensors do not fit the model, or their values not their shape or type.
    """
    tensors = []
    taken = 0
    for place, one in enumerate(inputs):
        size = one.parameters.get("binary_data_size")
        if size is None:
            tensors.append(_from_json(one, f"inputs.{place}"))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - taken:
            raise _wrong(f"inputs.{place}.parameters.binary_data_size", "the body does not hold so many bytes")
        tensors.append(_from_bytes(one, binary[taken : taken + size], f"inputs.{place}"))
        taken += size
    if taken != len(binary):
        raise _wrong("inputs", f"{len(binary) - taken} bytes of the body belong to no input")
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] == len(columns):
        return tensors[0].reshape(inputs[0].shape)
    return _side_by_side(inputs, tensors, columns)


def _from_json(one: RequestInput, field: str) -> Floats:
    """Return the values of a tensor, shape (size,)."""
    datatype, size = _declared(one, field)
    if one.data is None:
        raise _wrong(f"{field}.data", "it is missing")
    data = one.data
    if data and type(data[0]) is list:
        rows, width = one.shape if len(one.shape) == 2 else (-1, -1)  # of one dimension, nothing nested fits
        if set(map(type, data)) != {list} or len(data) != rows or set(map(len, data)) != {width}:
            raise _wrong(f"{field}.data", f"its lists are not of the shape {one.shape}")
        data = list(chain.from_iterable(data))
    if len(data) != size:
        raise _wrong(f"{field}.data", f"{len(data)} values; the shape {one.shape} takes {size}")
    if not datatype.json.issuperset(map(type, data)):
        raise _wrong(f"{field}.data", f"some values are not {one.datatype}")
    try:
        values = np.array(data, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        raise _wrong(f"{field}.data", f"some values are too large for {one.datatype}") from None
    return _within(values, one, datatype, field)


def _from_bytes(one: RequestInput, content: bytes, field: str) -> Floats:
    """Return the values of a tensor, shape (size,)."""
    datatype, size = _declared(one, field)
    if one.data is not None:
        raise _wrong(f"{field}.data", "the values are given twice, here and as bytes")
    if len(content) != size * datatype.dtype.itemsize:
        takes = f"{size * datatype.dtype.itemsize} bytes"
        raise _wrong(f"{field}.parameters.binary_data_size", f"{one.datatype} of the shape {one.shape} takes {takes}")
    return _within(np.frombuffer(content, datatype.dtype).astype(np.float64), one, datatype, field)


def _declared(one: RequestInput, field: str) -> tuple[Datatype, int]:
    """Return the type of a tensor and how many values it must have."""
    datatype = DATATYPES.get(one.datatype)
    if datatype is None:
        raise _wrong(f"{field}.datatype", f"not a type of numbers; one of {', '.join(DATATYPES)}")
    if one.shape[0] > MOST_ROWS:
        raise _wrong(f"{field}.shape", f"at most {MOST_ROWS:,} rows are predicted at once; send a batch for more")
    return datatype, math.prod(one.shape)


def _within(values: Floats, one: RequestInput, datatype: Datatype, field: str) -> Floats:
    """Return the values as its type can hold them."""
    if datatype.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(datatype.dtype).astype(np.float64)
        if np.isinf(values).any():
            raise _wrong(f"{field}.data", f"some values are infinite, or too large for {one.datatype}")
    elif ((values < datatype.low) | (values > datatype.high)).any():
        raise _wrong(f"{field}.data", f"some values are too large for {one.datatype}, or for exact arithmetic")
    return values


def _side_by_side(inputs: Sequence[RequestInput], tensors: Sequence[Floats], columns: Sequence[str]) -> Floats:
    """Return the rows of tensors that hold one column each, shape (n, k)."""
    places = {name: place for place, name in enumerate(columns)}
    rows = np.empty((inputs[0].shape[0], len(columns)))
    for number, (one, values) in enumerate(zip(inputs, tensors, strict=True)):
        field = f"inputs.{number}"
        if one.name not in places:
            raise _wrong(f"{field}.name", f"not a column of the model, or given twice; {_takes(columns)}")
        if one.shape not in ([len(rows)], [len(rows), 1]):
            raise _wrong(f"{field}.shape", f"not [{len(rows)}] or [{len(rows)}, 1]; {_takes(columns)}")
        rows[:, places.pop(one.name)] = values
    if places:
        raise _wrong("inputs", f"columns are missing: {', '.join(places)}")
    return rows


def _takes(columns: Sequence[str]) -> str:
    return f"the model takes one tensor of shape [rows, {len(columns)}], or one for each of its columns"


def _wrong(field: str, reason: str) -> ValidationFailed:
    return ValidationFailed((FieldError(field, reason),))
