"""Reads one part of a file in blocks; what memory they need does not grow with the file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.errors import BadFile
from backend.tabular.blocks import Block
from backend.tabular.formats import Format
from backend.tabular.layout import Layout, Part


def read_part(path: Path, layout: Layout, part: Part, *, columns: Sequence[str]) -> Iterator[Block]:
    """Yield the rows of a part in blocks of at most 32,768, of which `columns` can be asked for.

    A column of NDJSON that no line has is missing in each. The file is only open while the iterator is in use.

    Raises:
        BadFile: a column is not there or holds no plain values, or the file is not what it was when it was laid out.
    """
    if not columns:
        raise ValueError("name at least one column")
    absent = [name for name in columns if name not in layout.columns]
    if absent and layout.format is not Format.NDJSON:
        raise BadFile(f"the file has no column {', '.join(absent)}")
    # pyarrow is slow to import, and the API only lays files out.
    if layout.format is Format.CSV:
        from backend.tabular import csv_blocks  # noqa: PLC0415 - see above

        return csv_blocks.read_blocks(path, layout, part)
    if layout.format is Format.NDJSON:
        from backend.tabular import json_blocks  # noqa: PLC0415 - see above

        return json_blocks.read_blocks(path, part)
    from backend.tabular import parquet  # noqa: PLC0415 - see above

    return parquet.read_blocks(path, part, columns=columns)
