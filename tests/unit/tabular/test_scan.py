import io
import re
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.tabular import scan as module
from backend.tabular.scan import BAD_QUOTES, BARE_RETURN, MAX_RECORD, TOO_LONG, scan

# A record by RFC 4180; carriage returns alone are let through here, and looked for outside quotes afterwards.
CELL = rb'(?:"(?:[^"]|"")*+"(?:\r[^",\n]*)?|[^",\n]*)'
RECORD = re.compile(CELL + rb"(?:," + CELL + rb")*+\n")
QUOTED = re.compile(rb'"(?:[^"]|"")*+"')


def one_by_one(text: bytes, longest: int) -> list[tuple[int, int, bool]]:
    """What `scan` must find: start, end and whether it is bad, of each record."""
    size, text = len(text), text if text.endswith(b"\n") else text + b"\n"
    found, start = [], 0
    while start < len(text):
        match = RECORD.match(text, start)
        if match and match.end() - start <= longest:
            end = match.end()
            bad = re.search(rb"\r(?!\n)", QUOTED.sub(b"", text[start:end])) is not None
        else:
            end, bad = text.index(b"\n", start) + 1, True
        if text[start:end].rstrip(b"\r\n") or bad:
            found.append((start, min(end, size), bad))
        start = end
    return found


def scanned(text: bytes, *, quoted: bool = True, window: int = 1 << 20) -> list[tuple[int, int, str | None]]:
    return [
        (stretch.offset + int(start), min(len(text), stretch.offset + int(end)), stretch.bad.get(index))
        for stretch in scan(io.BytesIO(text), 0, len(text), quoted=quoted, window=window)
        for index, (start, end) in enumerate(zip(stretch.starts, stretch.ends, strict=True))
    ]


@given(
    text=st.lists(
        st.sampled_from([b"a", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b'"a"', b',"', b'",']), min_size=1
    ).map(b"".join),
    window=st.integers(1, 40),
    longest=st.integers(4, 30),
)
@example(text=b'"a\n"b,c\n"d\n', window=3, longest=30)
def test_records_are_those_of_rfc_4180_whatever_the_window(text: bytes, window: int, longest: int):
    with patch.object(module, "MAX_RECORD", longest):
        found = [(start, end, reason is not None) for start, end, reason in scanned(text, window=window)]
    assert found == one_by_one(text, longest)


def test_a_line_end_in_a_quoted_cell_does_not_end_the_row():
    assert scanned(b'1,"a\n""b"\n2,c\n') == [(0, 10, None), (10, 14, None)]


def test_a_quote_in_the_middle_of_a_cell_costs_its_row_only():
    assert scanned(b'5" nail,1\n6,2\n7" nail,3\n8,4\n') == [
        (0, 10, BAD_QUOTES),
        (10, 14, None),
        (14, 24, BAD_QUOTES),
        (24, 28, None),
    ]


def test_a_quote_that_is_never_closed_costs_its_row_only():
    rows = b"1,2\n" * (MAX_RECORD // 2)
    found = scanned(b'1,"2\n' + rows)
    assert found[0] == (0, 5, BAD_QUOTES)
    assert len(found) == 1 + MAX_RECORD // 2
    assert all(reason is None for _, _, reason in found[1:])


def test_a_quote_that_is_open_at_the_end_of_the_file_costs_its_row_only():
    assert [reason for _, _, reason in scanned(b'1,2\n"3,4\n5,6')] == [None, BAD_QUOTES, None]


def test_a_carriage_return_alone_outside_quotes_is_refused_because_others_take_it_for_a_line_end():
    assert [reason for _, _, reason in scanned(b'a\rb\n"a\rb"\r\nc\r\n')] == [BARE_RETURN, None, None]


@pytest.mark.parametrize("quoted", [True, False])
def test_a_row_that_is_too_long_is_passed_over_without_being_kept(*, quoted: bool):
    text = b"a\n" + b"x" * (5 * MAX_RECORD) + b"\nb"
    stretches = list(scan(io.BytesIO(text), 0, len(text), quoted=quoted, window=MAX_RECORD // 2))
    assert max(len(stretch.text) for stretch in stretches) <= 2 * MAX_RECORD
    assert [reason for _, _, reason in scanned(text, quoted=quoted)] == [None, TOO_LONG, None]


def test_a_row_may_be_as_long_as_the_limit():
    row = b"x" * (MAX_RECORD - 1) + b"\n"
    assert [reason for _, _, reason in scanned(row + b"x" + row)] == [None, TOO_LONG]


def test_quotes_mean_nothing_in_lines_of_json():
    assert scanned(b'{"a\n"b\n', quoted=False) == [(0, 4, None), (4, 7, None)]


@given(st.lists(st.integers(0, 255)).map(bytes), st.integers(1, 9))
def test_positions_are_those_of_the_byte(data: bytes, size: int):
    with patch.object(module, "SLICE", size):
        found = module.positions(np.frombuffer(data, np.uint8), 10).tolist()
    assert found == [index for index, byte in enumerate(data) if byte == 10]


def test_a_file_that_ends_before_it_should_gives_what_there_is():
    text = b"1\n22\n33"
    (stretch,) = scan(io.BytesIO(text), 0, 1000, quoted=True, window=100)
    assert (stretch.starts.tolist(), stretch.ends.tolist()) == ([0, 2, 5], [2, 5, 8])
