"""Finds what a file of rows holds, and cuts it into parts that can be read one by one, in any process."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from backend.errors import BadFile
from backend.tabular.formats import Format
from backend.tabular.scan import BAD_QUOTES, Stretch, scan
from backend.tabular.signatures import refuse_other_formats

PART_BYTES = 8 << 20
MAX_COLUMNS = 1000
BOM = b"\xef\xbb\xbf"  # of UTF-8
FIRST_LINES = 1000  # a key of NDJSON counts as a column if one of these has it

Progress = Callable[[float], None]


class Part(BaseModel):
    """A stretch of a file that can be read on its own; rows count from 1, and a header or a blank line is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int  # from 0
    first_row: int
    rows: int
    start: int  # bytes of text, row groups of Parquet; `stop` is behind the last
    stop: int


class Layout(BaseModel):
    """The columns of a file and its parts in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format
    columns: tuple[str, ...]
    rows: int
    parts: tuple[Part, ...]


def lay_out(path: Path, format_: Format, *, progress: Progress, part_bytes: int = PART_BYTES) -> Layout:
    """Go over a file once and cut it into parts of at least `part_bytes` of text or of decoded row groups.

    Columns are the header of CSV, the schema of Parquet, and the keys in the first lines of NDJSON. `progress` is told
    the fraction done after each part and may raise to stop.

    Raises:
        BadFile: the file is none of this format, has no rows, or its columns cannot be told apart.
    """
    refuse_other_formats(path, format_)
    if format_ is Format.PARQUET:
        from backend.tabular import parquet  # noqa: PLC0415 - pyarrow is slow to import

        columns, parts = parquet.row_groups(path, part_bytes=part_bytes)
    else:
        columns, start = _beginning(path, format_)
        size, parts = path.stat().st_size, []
        with path.open("rb", buffering=0) as file:
            stretches = scan(file, start, size, quoted=format_ is Format.CSV)
            for part in _parts(stretches, start=start, size=size, part_bytes=part_bytes):
                parts.append(part)
                progress(part.stop / size)
    if not parts:
        raise BadFile("the file has no rows" + (", only a header" if format_ is Format.CSV else ""))
    progress(1.0)
    last = parts[-1]
    return Layout(format=format_, columns=columns, rows=last.first_row + last.rows - 1, parts=tuple(parts))


def columns_of(path: Path, format_: Format) -> tuple[str, ...]:
    """Return the columns of a file from its beginning, as `lay_out` will find them.

    Raises:
        BadFile: the file is none of this format, or its columns cannot be told apart.
    """
    refuse_other_formats(path, format_)
    if format_ is Format.PARQUET:
        from backend.tabular import parquet  # noqa: PLC0415 - pyarrow is slow to import

        return parquet.row_groups(path, part_bytes=PART_BYTES)[0]
    return _beginning(path, format_)[0]


def check_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a file's columns.

    Raises:
        BadFile: one is missing or there twice, or there are too many.
    """
    if len(names) > MAX_COLUMNS:
        raise BadFile(f"the file has {len(names)} columns; send at most {MAX_COLUMNS}")
    seen: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        if not name:
            raise BadFile(f"column {place} has no name; name every column")
        if name in seen:
            raise BadFile(f"columns {seen[name]} and {place} have the same name; give each its own")
        seen[name] = place
    return tuple(names)


def _beginning(path: Path, format_: Format) -> tuple[tuple[str, ...], int]:
    """Return the columns of a file of text, and at which byte its rows begin."""
    with path.open("rb", buffering=0) as file:
        start = len(BOM) if file.read(len(BOM)) == BOM else 0
        first = next(scan(file, start, path.stat().st_size, quoted=format_ is Format.CSV), None)
    if first is None:
        raise BadFile("the file holds nothing but blank lines")
    if format_ is Format.CSV:
        return _header(first), first.offset + int(first.ends[0])
    return _keys(first), start


def _parts(stretches: Iterator[Stretch], *, start: int, size: int, part_bytes: int) -> Iterator[Part]:
    """Cut behind the first record that fills a part."""
    number, first_row, rows = 0, 1, 0
    stop = start
    for records in stretches:
        ends = np.minimum(records.offset + records.ends, size)  # the last line may have no line feed
        counted = 0
        while (full := int(np.searchsorted(ends, start + part_bytes))) < len(ends):
            rows, counted, stop = rows + full + 1 - counted, full + 1, int(ends[full])
            yield Part(number=number, first_row=first_row, rows=rows, start=start, stop=stop)
            number, first_row, rows, start = number + 1, first_row + rows, 0, stop
        rows, stop = rows + len(ends) - counted, int(ends[-1])
    if rows:
        yield Part(number=number, first_row=first_row, rows=rows, start=start, stop=stop)


def _header(records: Stretch) -> tuple[str, ...]:
    if 0 in records.bad:
        reason = records.bad[0]
        raise BadFile(f"the header {reason}" + ("" if reason == BAD_QUOTES else "; end every row with a line feed"))
    content = records.text[records.starts[0] : records.ends[0]]
    if b"\x00" in content:
        raise BadFile("the header holds a zero byte; save the file as CSV UTF-8")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadFile(f"byte {error.start + 1} of the header is not UTF-8; save the file as CSV UTF-8") from error
    (names,) = csv.reader([text], strict=True)
    for other, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and other in names[0]:
            raise BadFile(f"the cells of the header are separated by {called}; separate them by commas")
    return check_columns([name.strip() for name in names])


def _keys(records: Stretch) -> tuple[str, ...]:
    """Return the keys of the first lines, in the order in which they come up."""
    keys: dict[str, None] = {}
    for index, (start, end) in enumerate(islice(zip(records.starts, records.ends, strict=True), FIRST_LINES)):
        try:
            found = json.loads(records.text[start:end])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            keys.update(dict.fromkeys(found))
        elif index == 0:
            raise BadFile("the first line is not a JSON object; write one object on each line")
    return check_columns(list(keys))
