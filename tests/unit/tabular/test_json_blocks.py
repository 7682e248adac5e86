from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.tabular.blocks import RowError
from backend.tabular.cells import GROUPED, INFINITE, NO_NUMBER
from backend.tabular.formats import Format
from backend.tabular.json_blocks import HALF_A_PAIR, NESTED, NO_OBJECT, TWICE, ZERO


def test_ndjson_gives_its_values_and_says_what_is_none(records, file_of):
    lines = [
        '{"a": 1, "b": true, "c": "x", "d": {"e": 1}}',
        '{"b": null, "a": 1.5, "c": NaN}',
        "[1]",
        '{"a": [1]}',
        '{"a": "\\ud800"}',
        '{"a": "é"',
        '{"a": ' + "[" * 100_000 + "}",
        '{"a": "b\\u0000c"}',
        '{"a": 1, "b": 2, "a": 1}',
        '{"a": 3, "z": 1, "z": 2}',
    ]
    found = records(file_of("\n".join(lines), Format.NDJSON), Format.NDJSON, ["a", "b", "c"])
    assert found.rows == ((1, {"a": 1, "b": True, "c": "x"}), (2, {"a": 1.5, "b": None, "c": None}), (10, {"a": 3}))
    assert found.errors == (
        RowError(3, None, NO_OBJECT),
        RowError(4, "a", NESTED),
        RowError(5, "a", HALF_A_PAIR),
        RowError(6, None, NO_OBJECT),
        RowError(7, None, NO_OBJECT),
        RowError(8, "a", ZERO),
        RowError(9, "a", TWICE),
    )


ODD_LINES = [
    '{"a": 1}{"a": 2}',
    '{"a":',
    "3}",
    '{"a": true}',
    '{"a": "1.5"}',
    '{"a": "1,5"}',
    '{"a": NaN}',
    '{"a": -NaN}',
    '{"a": Infinity}',
    '{"a": 1e999}',
    '{"a": 1' + "0" * 400 + "}",
    '{"a": [1]}',
    '{"a": 1, "a": 2}',
    ' {"a": 1} ',
    "{}",
    '{"b": {"c": 1}, "a": 4}',
    '{"a": ""}',
    "null",
]


def test_lines_of_json_count_as_they_would_alone(numbers, file_of):
    found = numbers(file_of("\n".join(['{"a": 0}', *ODD_LINES]), Format.NDJSON), Format.NDJSON, ["a"])
    usable = {1: 0.0, 5: 1.0, 6: 1.5, 8: np.nan, 15: 1.0, 16: np.nan, 17: 4.0, 18: np.nan}
    np.testing.assert_array_equal(found.values[:, 0], list(usable.values()))
    assert found.rows.tolist() == list(usable)
    assert {error.row: error.reason for error in found.errors} == {
        2: NO_OBJECT,
        3: NO_OBJECT,
        4: NO_OBJECT,
        7: GROUPED,
        9: NO_OBJECT,
        10: INFINITE,
        11: INFINITE,
        12: INFINITE,
        13: NO_NUMBER,
        14: TWICE,
        19: NO_OBJECT,
    }


@given(st.lists(st.sampled_from(['{"a": 1}', '{"a": null}', '{"b": 2}', *ODD_LINES]), min_size=1, max_size=4))
def test_plain_lines_do_not_depend_on_those_beside_them(numbers, folder: Path, lines: list[str]):
    together, alone = folder / "together.ndjson", folder / "alone.ndjson"
    together.write_text("\n".join(['{"a": 0}', *lines]))
    expected = []
    for line in lines:
        alone.write_text('{"a": 0}\n' + line)
        expected += numbers(alone, Format.NDJSON, ["a"]).values[1:, 0].tolist()
    np.testing.assert_array_equal(numbers(together, Format.NDJSON, ["a"]).values[1:, 0], expected)
