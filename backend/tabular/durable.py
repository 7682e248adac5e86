"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial-"  # how the names of unfinished files begin; a killed process may leave one


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that only we can read, under another name; at the end it is synced and gets its own.

    After an error nothing of it is left, and a file that had the name before is still there.
    """
    handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)  # mode 0600
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
