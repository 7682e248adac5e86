"""The formats in which files of rows come and go."""

from enum import StrEnum

from backend.errors import BadFile


class Format(StrEnum):
    """A format of rows; its value is also the suffix of its files."""

    CSV = "csv"  # RFC 4180: commas, a header, UTF-8
    NDJSON = "ndjson"  # one JSON object a line
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """What `Content-Type` and `Accept` call it."""
        return _MEDIA_TYPES[self]

    @property
    def suffix(self) -> str:
        """How its files' names end, with the dot."""
        return f".{self.value}"


_MEDIA_TYPES = {
    Format.CSV: "text/csv",
    Format.NDJSON: "application/x-ndjson",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def format_of(content_type: str) -> Format:
    """Return the format that a `Content-Type` names.

    Raises:
        BadFile: it names none of ours, or a character set other than UTF-8.
    """
    media_type, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    found = next((format_ for format_, known in _MEDIA_TYPES.items() if known == media_type), None)
    if found is None:
        known = ", ".join(_MEDIA_TYPES.values())
        raise BadFile(f"the content type {media_type or '(none)'!r} is not a format of rows; send one of {known}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8", "us-ascii"}:
            raise BadFile(f"the character set is {value}; save the file as UTF-8")
    return found
