"""The readable rows of a part of a text file, in pieces that fit into memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.errors import BadFile
from backend.tabular.blocks import RowError, in_order
from backend.tabular.layout import Part
from backend.tabular.scan import COMMA, QUOTE, Stretch, positions, scan

BLOCK_ROWS = 32_768
NOT_UTF8 = "is not UTF-8 text"

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive rows: the text of those that can be read (m,), and why the others cannot."""

    first_row: int
    size: int
    rows: Positions
    text: bytes
    ends: Positions  # where each row ends in the text, behind its line feed
    errors: tuple[RowError, ...]


def pieces(path: Path, part: Part, *, quoted: bool) -> Iterator[Piece]:
    """Yield the rows of a part.

    Raises:
        BadFile: the file is shorter than it was.
    """
    if path.stat().st_size < part.stop:
        raise BadFile(f"{path.name} ends before part {part.number}: it was cut off after it was laid out")
    row = part.first_row
    with path.open("rb", buffering=0) as file:
        for records in scan(file, part.start, part.stop, quoted=quoted):
            n = len(records.starts)
            for start in range(0, n, BLOCK_ROWS):
                stop = min(n, start + BLOCK_ROWS)
                yield _readable(records, row, start, stop)
                row += stop - start


def rectangular(piece: Piece, *, columns: int) -> Piece:
    """Leave out the rows of CSV whose number of cells is not that of the header."""
    data = np.frombuffer(piece.text, np.uint8)
    commas = positions(data, COMMA)
    if b'"' in piece.text:
        commas = commas[np.searchsorted(positions(data, QUOTE), commas) & 1 == 0]
    cells = np.diff(np.searchsorted(commas, piece.ends), prepend=0) + 1
    keep = cells == columns
    errors = [
        RowError(row, None, f"has {count} cell{'s' if count > 1 else ''}, the header has {columns}")
        for row, count in zip(piece.rows[~keep].tolist(), cells[~keep].tolist(), strict=True)
    ]
    text, ends = _kept(piece.text, np.concatenate(([0], piece.ends[:-1])), piece.ends, keep)
    return Piece(piece.first_row, piece.size, piece.rows[keep], text, ends, in_order(piece.errors, errors))


def _readable(records: Stretch, first: int, start: int, stop: int) -> Piece:
    """Return the records from `start` to `stop` that are whole and UTF-8."""
    starts, ends = records.starts[start:stop], records.ends[start:stop]
    bad = {index - start: reason for index, reason in records.bad.items() if start <= index < stop}
    for index in _not_utf8(records.text, starts, ends):
        bad.setdefault(index, NOT_UTF8)
    keep = np.ones(stop - start, np.bool_)
    keep[list(bad)] = False
    text, ends = _kept(records.text, starts, ends, keep)
    errors = [RowError(first + index, None, reason) for index, reason in bad.items()]
    rows = first + np.flatnonzero(keep)
    return Piece(first, stop - start, rows, text, ends, in_order(errors))


def _not_utf8(text: bytes, starts: Positions, ends: Positions) -> list[int]:
    """Return which records are not UTF-8; all of them are decoded at once where that succeeds."""
    if is_utf8(text[starts[0] : ends[-1]]):
        return []
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    return [index for index, (start, end) in enumerate(spans) if not is_utf8(text[start:end])]


def is_utf8(content: bytes) -> bool:
    """Return whether bytes are text; a zero byte is none, and no database stores it."""
    if b"\x00" in content:
        return False
    if content.isascii():
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _kept(text: bytes, starts: Positions, ends: Positions, keep: NDArray[np.bool_]) -> tuple[bytes, Positions]:
    """Return the text of the records to keep, without what is between them, and where each ends in it."""
    if not len(starts):
        return b"", ends
    if keep.all() and (starts[1:] == ends[:-1]).all():
        return text[starts[0] : ends[-1]], ends - starts[0]
    starts, ends = starts[keep], ends[keep]
    step = np.zeros(len(text) + 1, np.int8)
    step[starts] += 1
    step[ends] -= 1
    inside = np.cumsum(step[:-1], dtype=np.int8).view(np.bool_)
    return np.frombuffer(text, np.uint8)[inside].tobytes(), np.cumsum(ends - starts)
