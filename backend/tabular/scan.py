"""Cuts text into records: the lines of NDJSON, and the rows of CSV, whose quoted cells may hold line ends.

One rule makes a broken row cost one row: **a record whose quotes are not in order (RFC 4180), or that is longer than
`MAX_RECORD`, is bad, ends at the first line end after its start, and reading goes on there as if nothing had been.**
So what a record is depends on the text alone, and not on the stretch of it that is in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_RECORD = 1 << 20  # bytes
WINDOW = 2 << 20  # bytes; larger ones leave the processor's cache, smaller ones pay for each call

SLICE = 256 << 10  # bytes; what is found in them stays in the cache
COMMA, QUOTE, NEWLINE, RETURN = b',"\n\r'

TOO_LONG = f"is longer than {MAX_RECORD >> 20} MiB"
BAD_QUOTES = (
    "has quotes that are not in order: put a cell that holds a quote, a comma or a line end in quotes, "
    "and double the quotes in it"
)
BARE_RETURN = "has a carriage return that is not followed by a line feed, in a cell without quotes"

Positions = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The records (n,) of a stretch of text, without blank lines; one that is too long may end behind the text."""

    text: bytes
    offset: int  # where in the file the text begins
    starts: Positions  # in the text
    ends: Positions  # in the text, behind the line feed, which the last line of a file may lack
    bad: dict[int, str]  # why a record cannot be read, by its index


def scan(file: BinaryIO, start: int, stop: int, *, quoted: bool, window: int = WINDOW) -> Iterator[Stretch]:
    """Yield the records between two bytes of a file, window by window; `start` is the start of a record.

    The last line need not end with a line feed. At most a window and a record are in memory.
    """
    file.seek(start)
    text, offset = b"", start
    while True:
        more = file.read(min(window, stop - offset - len(text)))
        text = text + more if text else more
        last = not more
        if last and text and not text.endswith(b"\n"):
            text += b"\n"
        if not last and len(text) > MAX_RECORD and b"\n" not in text:
            length = len(text) + _rest_of_line(file, stop - offset - len(text), window)
            yield Stretch(text, offset, np.zeros(1, np.int64), np.array([length]), {0: TOO_LONG})
            text, offset = b"", offset + length
            continue
        records, used = _cut(text, offset, quoted=quoted, last=last)
        if len(records.starts):
            yield records
        if last:
            return
        text, offset = text[used:], offset + used


def _rest_of_line(file: BinaryIO, limit: int, window: int) -> int:
    """Read on behind the next line feed, or `limit` bytes; return how many bytes that was."""
    passed = 0
    while more := file.read(min(window, limit - passed)):
        found = more.find(b"\n")
        if found >= 0:
            file.seek(found + 1 - len(more), 1)
            return passed + found + 1
        passed += len(more)
    return passed


def _cut(text: bytes, offset: int, *, quoted: bool, last: bool) -> tuple[Stretch, int]:
    """Return the whole records of a text, and how many of its bytes they take."""
    length = len(text)
    text = text[: text.rfind(b"\n") + 1]
    data = np.frombuffer(text, np.uint8)
    ends = positions(data, NEWLINE) + 1
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    used = len(text)
    bad_lines: Positions = np.zeros(0, np.int64)
    if quoted and b'"' in text:
        lines = _quoted_lines(data, starts, ends, rest=None if last else length)
        used = int(starts[lines.open_from]) if lines.open_from < len(starts) else used
        bad_lines = starts[lines.bad]
        starts, ends = starts[lines.begins], ends[lines.closes]
    bad = dict.fromkeys(np.searchsorted(starts, bad_lines).tolist(), BAD_QUOTES)
    if quoted and b"\r" in text and len(ends):
        bad |= dict.fromkeys(_with_bare_return(data[: ends[-1]], starts, ends, bad), BARE_RETURN)
    bad |= dict.fromkeys(np.flatnonzero(ends - starts > MAX_RECORD).tolist(), TOO_LONG)
    return _without_blanks(Stretch(text, offset, starts, ends, bad), data), used


def positions(data: Bytes, byte: int) -> Positions:
    """Return where a byte occurs."""
    found = [np.flatnonzero(data[start : start + SLICE] == byte) + start for start in range(0, len(data), SLICE)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Which lines begin a record and which close one, and which are bad ones on their own, all masks of lines (n,).

    The line `open_from` begins a record that does not close in this text; the masks are False from there on.
    """

    begins: Mask
    closes: Mask
    bad: Mask
    open_from: int


def _quoted_lines(data: Bytes, starts: Positions, ends: Positions, *, rest: int | None) -> _Lines:
    """Join the lines of quoted cells; `rest` is where the text in memory ends, None if no more follows.

    A line with an odd number of quotes opens a cell that the next such line closes. Nothing else needs a loop.
    """
    count, wrong_outside, wrong_inside = _quotes_by_line(data, starts, ends)
    n = len(starts)
    begins, closes, bad = np.ones(n, np.bool_), np.ones(n, np.bool_), wrong_outside
    wrong_until = np.cumsum(wrong_inside).tolist()
    odd = np.flatnonzero(count & 1).tolist()
    k, open_from = 0, n
    while k < len(odd):
        line = odd[k]
        k += 1
        if bad[line]:
            continue
        if k < len(odd):
            close = odd[k]
            if wrong_until[close] == wrong_until[line] and ends[close] - starts[line] <= MAX_RECORD:
                begins[line + 1 : close + 1] = closes[line:close] = bad[line + 1 : close + 1] = False
                k += 1
                continue
        elif rest is not None and rest - starts[line] <= MAX_RECORD:
            open_from = line
            break
        bad[line] = True
    begins[open_from:] = closes[open_from:] = bad[open_from:] = False
    return _Lines(begins, closes, bad, open_from)


def _quotes_by_line(data: Bytes, starts: Positions, ends: Positions) -> tuple[Positions, Mask, Mask]:
    """Return how many quotes each line (n,) has, and whether they are wrong if it begins outside or inside a cell.

    A quote opens a cell at its first byte, closes it at its last, or is one of a pair within (RFC 4180, 2.5 to 2.7).
    """
    quotes = positions(data, QUOTE)
    until = np.searchsorted(quotes, ends)
    count = np.diff(until, prepend=0)
    even = (np.arange(len(quotes)) - np.repeat(until - count, count)) & 1 == 0
    before = np.where(quotes > 0, data[quotes - 1], NEWLINE)
    after = data[quotes + 1]  # there is one: the text ends with a line feed here
    no_opening = ~((before == COMMA) | (before == NEWLINE) | (before == QUOTE))
    no_closing = ~((after == COMMA) | (after == NEWLINE) | (after == RETURN) | (after == QUOTE))
    line = np.repeat(np.arange(len(starts)), count)
    outside = line[np.where(even, no_opening, no_closing)]
    inside = line[np.where(even, no_closing, no_opening)]
    return count, np.bincount(outside, minlength=len(starts)) > 0, np.bincount(inside, minlength=len(starts)) > 0


def _with_bare_return(data: Bytes, starts: Positions, ends: Positions, bad: dict[int, str]) -> list[int]:
    """Return the records with a carriage return alone outside quotes, which other readers take for a line end."""
    returns = positions(data, RETURN)
    returns = returns[data[returns + 1] != NEWLINE]
    if not len(returns):
        return []
    record = np.searchsorted(ends, returns, side="right")
    quotes = positions(data, QUOTE)
    before = np.searchsorted(quotes, returns) - np.searchsorted(quotes, starts[record])
    return [index for index in np.unique(record[before & 1 == 0]).tolist() if index not in bad]


def _without_blanks(records: Stretch, data: Bytes) -> Stretch:
    """Leave out the lines that hold nothing."""
    starts, length = records.starts, records.ends - records.starts
    blank = (length == 1) | ((length == 2) & (data[starts] == RETURN))
    if not blank.any():
        return records
    place = np.cumsum(~blank) - 1
    bad = {int(place[index]): reason for index, reason in records.bad.items()}
    return Stretch(records.text, records.offset, starts[~blank], records.ends[~blank], bad)
