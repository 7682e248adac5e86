"""Bodies that are too large for memory."""

from collections.abc import Iterator

from flask import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from backend.api.parse import refuse_compressed

CHUNK = 1 << 20  # bytes


def chunks_of_body(*, most: int) -> Iterator[bytes]:
    """Yield the body of the request as it comes in, `most` bytes of it.

    Raises:
        BadRequest: it ended before its stated length.
        RequestEntityTooLarge: it is larger.
        UnsupportedMediaType: it is compressed.
    """
    refuse_compressed()
    request.max_content_length = most
    received = 0
    try:
        while chunk := request.stream.read(CHUNK):
            received += len(chunk)
            yield chunk
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # each server has its own errors for a body that breaks off or is framed wrongly
        raise _cut_off(received) from error
    if received < (request.content_length or 0):  # gunicorn ends a body that was cut off like any other
        raise _cut_off(received)


def _cut_off(received: int) -> BadRequest:
    return BadRequest(f"the upload was cut off after {received:,} bytes; nothing was stored, send it again")
