"""Many connections from one process: `python -m benchmarks.http_load PORT PATH SECONDS CONNECTIONS`, the body on stdin.

Each connection sends a request, waits for the whole answer and sends the next. The answers must be 200.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.processes import HOST

WARM_UP_SECONDS = 0.5
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """One connection that is never idle; `took` is called with the seconds of each answer."""

    def __init__(self, request: bytes, took: Callable[[float], None]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._took = took
        self._received = b""
        self._sent = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send the next request when the answer is whole."""
        self._received += data
        end = self._received.find(HEAD_END)
        if end < 0:
            return
        head = self._received[:end].lower()
        length = int(head[head.index(LENGTH) + len(LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._received) < end + len(HEAD_END) + length:
            return
        if b" 200 " not in head[:20]:
            self.ended.set_exception(RuntimeError(self._received.decode()))
            self._transport.abort()
            return
        self._took(time.perf_counter() - self._sent)
        self._received = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Take it down: nobody but the measurement closes a connection."""
        if not self.ended.done():
            self.ended.set_exception(error or RuntimeError("the server closed a connection"))

    def stop(self) -> None:
        """Close it in the middle of whatever it does."""
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport.abort()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def load(port: int, request: bytes, *, seconds: float, connections: int) -> dict[str, float]:
    """Return requests per second, and percentiles of their milliseconds, after a warm-up."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    made = [
        (await loop.create_connection(lambda: Connection(request, taken.append), HOST, port))[1]
        for _ in range(connections)
    ]
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        taken.clear()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        count, passed = len(taken), time.perf_counter() - began
    finally:
        for one in made:
            one.stop()
    await asyncio.gather(*(one.ended for one in made))
    p50, p99 = 1_000.0 * np.percentile(taken, (50, 99))
    return {"p50": p50, "p99": p99, "per_second": count / passed}


def main(port: int, path: str, seconds: float, connections: int) -> None:
    """Measure one server and print the figures as JSON."""
    body = sys.stdin.buffer.read()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    figures = asyncio.run(load(port, head.encode() + body, seconds=seconds, connections=connections))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
