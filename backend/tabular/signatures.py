"""Recognises files that are not what they are said to be by their first bytes."""

import codecs
import zipfile
from pathlib import Path

from backend.errors import BadFile
from backend.tabular.formats import Format

PARQUET_MAGIC = b"PAR1"

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
}
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


def refuse_other_formats(path: Path, format_: Format) -> None:
    """Look at the ends of a file.

    Raises:
        BadFile: it is empty or of another format than the one named; the message says what to send.
    """
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, path.stat().st_size - 4))
        tail = file.read(4)
    if not head:
        raise BadFile("the file is empty")
    for magic, called in _COMPRESSED.items():
        if head.startswith(magic):
            raise BadFile(f"the file is compressed with {called}; send it uncompressed")
    if head.startswith(b"PK\x03\x04"):
        raise BadFile(_zipped(path))
    if head.startswith(_OLD_OFFICE):
        raise BadFile("the file is an Excel workbook; save its sheet as CSV UTF-8 and send that")
    if format_ is Format.PARQUET:
        _require_parquet(head, tail)
    else:
        _require_text(head, format_)


def _zipped(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            workbook = any(name.startswith("xl/") for name in archive.namelist())
    except zipfile.BadZipFile:
        workbook = False
    if workbook:
        return "the file is an Excel workbook; save its sheet as CSV UTF-8 and send that"
    return "the file is a zip archive; send the file in it, uncompressed"


def _require_parquet(head: bytes, tail: bytes) -> None:
    if not head.startswith(PARQUET_MAGIC):
        raise BadFile("the file is not Parquet: it does not begin with PAR1")
    if tail != PARQUET_MAGIC:
        raise BadFile("the Parquet file is cut off: it does not end with PAR1; send it again")


def _require_text(head: bytes, format_: Format) -> None:
    if head.startswith(PARQUET_MAGIC):
        raise BadFile(f"the file is Parquet; send it as {Format.PARQUET.media_type}")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in head[:4]:
        raise BadFile("the file is UTF-16 or UTF-32; save it as UTF-8")
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if format_ is Format.NDJSON and begin == b"[":
        raise BadFile(
            "the file is a JSON array; write its objects one on each line, without brackets and commas between"
        )
    if format_ is Format.CSV and begin == b"{":
        raise BadFile(
            f"the file begins with a JSON object and not with a header; send it as {Format.NDJSON.media_type}"
        )
