"""One POST to a checked address: no proxy, no redirect, no cookie, and an end to all waiting."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from backend.errors import Unavailable
from backend.webhooks.addresses import Target

CONNECT_SECONDS = 3.0  # to the address, and again for TLS
TOTAL_SECONDS = 10.0  # for all that follows
MOST_READ = 64 * 1024  # bytes of an answer; nothing in it matters


def post(target: Target, body: bytes, headers: Mapping[str, str], *, total: float = TOTAL_SECONDS) -> int:
    """Send `body` and return the status of the answer.

    Raises:
        Unavailable: no answer came; the message names the host and never the path, which may hold a token.
    """
    connection = _connection(target)
    try:
        connection.connect()
        return _exchange(connection, target, body, headers, total=total)
    except (HTTPError, http.client.HTTPException, OSError) as error:
        raise Unavailable(f"{target.host} {_reason(error)}") from error
    finally:
        connection.close()


def _connection(target: Target) -> HTTPConnection:
    if not target.tls:
        return HTTPConnection(target.address, target.port, timeout=CONNECT_SECONDS)
    # Connected to the checked address, while the name is what the certificate must be for and what the server is told.
    return HTTPSConnection(
        target.address,
        target.port,
        timeout=CONNECT_SECONDS,
        cert_reqs="CERT_REQUIRED",
        server_hostname=target.host,
    )


def _exchange(
    connection: HTTPConnection, target: Target, body: bytes, headers: Mapping[str, str], *, total: float
) -> int:
    """Send and read; after `total` seconds the connection is cut.

    The timeout of a socket counts from byte to byte: a receiver that sends one now and then could hold us for hours.
    """
    connection.timeout = total
    ends_at = time.monotonic() + total
    timer = threading.Timer(total, _cut, args=(connection.sock,))
    timer.daemon = True
    timer.start()
    try:
        sent = {"Host": target.host_header, "Connection": "close", "Content-Type": "application/json", **headers}
        connection.request("POST", target.path, body, sent, preload_content=False, decode_content=False)
        response = connection.getresponse()
        response.read(MOST_READ)
    finally:
        timer.cancel()
        if time.monotonic() >= ends_at:  # what was read until the cut may look like a whole answer
            raise TimeoutError
    return response.status


def _cut(connected: socket.socket) -> None:
    """Wake whoever reads from a connection with its end; that of TLS is not awaited."""
    with suppress(OSError):  # it has ended by itself
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    """Return what happened in words of ours: the text of a foreign error may quote the URL."""
    if isinstance(error, NewConnectionError):  # which urllib3 counts among the timeouts
        return "refuses connections or cannot be reached"
    if isinstance(error, TimeoutError | ConnectTimeoutError):
        return "did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that cannot be trusted: {error.verify_message}"
    return f"broke the connection ({type(error).__name__})"
