"""Reads numbers from texts, as columns with pyarrow and one by one: both accept the same texts."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backend.tabular.blocks import Numbers, RowError, in_order

MISSING = ("", "nan")  # in lower case, without blanks around
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"

_NUMBER = re.compile(NUMBER)
_GROUPED = re.compile(r"[+-]?[0-9]+([.,'\u2019_\s][0-9]+)+")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)

SLICE = 1024  # rows of a matrix that are filled column by column while they are in the cache

NO_NUMBER = "is not a number"
GROUPED = "is not a number: write it with a decimal point, and without a decimal comma or thousands separators"
INFINITE = "is infinite or too large"

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


class NotANumber(ValueError):
    """A text or value is no number; the message is the reason, without the value."""


def number_of(value: object) -> float:
    """Return a value as a number, NaN if it is missing.

    Raises:
        NotANumber: it is neither.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        return _number_of_text(value.strip())
    if not isinstance(value, int | float):
        raise NotANumber(NO_NUMBER)
    try:
        number = float(value)
    except OverflowError:
        raise NotANumber(INFINITE) from None
    if math.isinf(number):
        raise NotANumber(INFINITE)
    return number


def _number_of_text(text: str) -> float:
    lower = text.lower()
    if lower in MISSING:
        return math.nan
    if lower in {"true", "false"}:
        return float(lower == "true")
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
        raise NotANumber(INFINITE)
    if _INFINITE.fullmatch(text):
        raise NotANumber(INFINITE)
    raise NotANumber(GROUPED if _GROUPED.fullmatch(text) else NO_NUMBER)


def numbers_of_texts(texts: "pa.Array") -> tuple[Values, Mask]:
    """Return a column of texts (m,) as numbers, and which of them are neither numbers nor missing."""
    try:
        plain = pc.cast(pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts), pa.float64())
    except pa.ArrowInvalid:
        return _numbers_of_odd_texts(texts)
    numbers, finite = matrix([plain], len(texts))
    return (numbers[:, 0], np.zeros(len(texts), np.bool_)) if finite else _numbers_of_odd_texts(texts)


def _numbers_of_odd_texts(texts: "pa.Array") -> tuple[Values, Mask]:
    texts = pc.utf8_trim_whitespace(texts)
    lower = pc.ascii_lower(texts)
    missing = pc.or_kleene(pc.is_null(texts), pc.is_in(lower, value_set=pa.array(MISSING, texts.type)))
    texts = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", texts))
    readable = pc.fill_null(pc.match_substring_regex(texts, NUMBER), fill_value=False)
    values = pc.cast(pc.if_else(readable, texts, pa.scalar(None, texts.type)), pa.float64())
    numbers = values.to_numpy(zero_copy_only=False)
    wrong = ~(pc.or_(readable, missing).to_numpy(zero_copy_only=False)) | np.isinf(numbers)
    return numbers, wrong


def matrix(columns: Sequence["pa.Array"], rows: int) -> tuple[Values, bool]:
    """Return columns of floats as (rows, k) in C order, NaN where null; and whether all others are finite."""
    values = np.empty((rows, len(columns)))
    nulls = sum(column.null_count for column in columns)
    arrays = [column.to_numpy(zero_copy_only=False) for column in columns]
    finite = sum(int(np.count_nonzero(np.isfinite(array))) for array in arrays)
    for start in range(0, rows, SLICE):
        rectangle = values[start : start + SLICE]
        for place, array in enumerate(arrays):
            rectangle[:, place] = array[start : start + SLICE]
    return values, finite + nulls == values.size


def checked(
    rows: NDArray[np.int64],
    names: Sequence[str],
    columns: Sequence[tuple[Values, Mask]],
    texts: Sequence["pa.Array"],
    errors: Sequence[RowError],
) -> Numbers:
    """Leave out the rows (m,) with a wrong cell in one of `columns`, of which `texts` are the cells, and say why."""
    values = np.column_stack([column for column, _ in columns]) if columns else np.empty((len(rows), 0))
    wrong = np.column_stack([mask for _, mask in columns]) if columns else np.zeros((len(rows), 0), np.bool_)
    refused = np.flatnonzero(wrong.any(axis=1))
    first = wrong[refused].argmax(axis=1) if len(refused) else refused
    found = [
        RowError(int(rows[index]), names[place], _reason(texts[place][index].as_py()))
        for index, place in zip(refused.tolist(), first.tolist(), strict=True)
    ]
    kept = np.delete(np.arange(len(rows)), refused)
    return Numbers(rows[kept], np.ascontiguousarray(values[kept]), in_order(errors, found))


def _reason(value: object) -> str:
    try:
        number_of(value)
    except NotANumber as error:
        return str(error)
    return NO_NUMBER
