"""Cuts text into records: the lines of NDJSON, and the rows of CSV, whose quoted cells may hold line ends.

One rule makes a broken row cost one row: **a record whose quotes are not in order (RFC 4180), or that is longer than
`MAX_RECORD`, is bad, ends at the first line end after its start, and reading goes on there as if nothing had been.**
So what a record is depends on the text alone, and not on the stretch of it that is in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
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

_BEFORE_OPENING = np.isin(np.arange(256), [COMMA, NEWLINE, QUOTE])
_AFTER_CLOSING = np.isin(np.arange(256), [COMMA, NEWLINE, QUOTE, RETURN])

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


def scan(file: BinaryIO | FileIO, start: int, stop: int, *, quoted: bool, window: int = WINDOW) -> Iterator[Stretch]:
    """Yield the records between two bytes of a file, window by window; `start` is the start of a record.

    The last line need not end with a line feed. At most a window, or a record if that is longer, is in memory.
    """
    offset, size = start, window
    last = False
    while offset < stop and not last:
        file.seek(offset)
        text = file.read(min(size, stop - offset))
        last = len(text) < size or offset + len(text) == stop
        if last and text and not text.endswith(b"\n"):
            text += b"\n"
        if not last and len(text) > MAX_RECORD and b"\n" not in text:
            used = len(text) + _rest_of_line(file, stop - offset - len(text), window)
            yield Stretch(text, offset, np.zeros(1, np.int64), np.array([used]), {0: TOO_LONG})
        else:
            records, used = _cut(text, offset, quoted=quoted, last=last)
            if len(records.starts):
                yield records
        offset += used
        size = window if used else 2 * size  # what is unfinished is read again, with more of what follows


def _rest_of_line(file: BinaryIO | FileIO, limit: int, window: int) -> int:
    """Return how many bytes there are to the next line feed, and with it, or `limit`."""
    passed = 0
    while more := file.read(min(window, limit - passed)):
        found = more.find(b"\n")
        if found >= 0:
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
    count, bad, wrong_inside = _quotes_by_line(data, starts, ends)
    n = len(starts)
    odd = np.flatnonzero(count & 1)
    wrong_until = np.cumsum(wrong_inside)[odd].tolist()
    begin, end, broken = starts[odd].tolist(), ends[odd].tolist(), bad[odd].tolist()
    joined: list[int] = []  # places in `odd`, each of an opening line whose closing line is the next
    alone: list[int] = []
    k, open_from = 0, n
    while k < len(begin):
        if k + 1 < len(begin):
            closes = not broken[k] and wrong_until[k + 1] == wrong_until[k] and end[k + 1] - begin[k] <= MAX_RECORD
            (joined if closes else alone).append(k)
            k += 2 if closes else 1
            continue
        if not broken[k] and rest is not None and rest - begin[k] <= MAX_RECORD:
            open_from = int(odd[k])
        else:
            alone.append(k)
        break
    bad[odd[alone]] = True
    change = np.zeros(n + 1, np.int8)
    change[odd[joined] + 1] += 1
    change[odd[[k + 1 for k in joined]] + 1] -= 1
    follows = np.cumsum(change, dtype=np.int8).view(np.bool_)  # the lines that go on with the record of the one before
    here = np.arange(n) < open_from
    return _Lines(here & ~follows[:n], here & ~follows[1:], here & bad & ~follows[:n], open_from)


def _quotes_by_line(data: Bytes, starts: Positions, ends: Positions) -> tuple[Positions, Mask, Mask]:
    """Return how many quotes each line (n,) has, and whether they are wrong if it begins outside or inside a cell.

    A quote opens a cell at its first byte, closes it at its last, or is one of a pair within (RFC 4180, 2.5 to 2.7).
    The second mask is only worked out if a cell may go over a line end, which takes an odd number of quotes in a line.
    """
    quotes = positions(data, QUOTE)
    until = np.searchsorted(quotes, ends)
    count = np.diff(until, prepend=0)
    second = np.zeros(len(quotes), np.bool_)  # and fourth, and so on in its line
    second[1::2] = True
    crossing = np.any(count & 1)
    if crossing:
        second ^= np.repeat((until - count) & 1 == 1, count)
    opens = _BEFORE_OPENING[data[quotes - 1]]  # before the first byte of a text comes its last, a line feed as well
    closes = _AFTER_CLOSING[data[quotes + 1]]
    outside, inside = np.zeros(len(starts), np.bool_), np.zeros(len(starts), np.bool_)
    outside[np.searchsorted(ends, quotes[~np.where(second, closes, opens)], side="right")] = True
    if crossing:
        inside[np.searchsorted(ends, quotes[~np.where(second, opens, closes)], side="right")] = True
    return count, outside, inside


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
