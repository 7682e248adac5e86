"""A client that keeps its connection, one for each thread."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from benchmarks.processes import HOST

POLL_SECONDS = 0.05
PAGE = 1_000

_local = threading.local()


def post_and_wait(port: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Submit a job and return its result, which the server waits for.

    Raises:
        RuntimeError: the job did not succeed in time.
    """
    status, answer = call(port, "POST", path, body, {"Prefer": "wait=10"})
    if status != HTTPStatus.OK or answer["state"] != "succeeded":
        raise RuntimeError(f"{path}: {status} {answer}")
    result: dict[str, Any] = answer["result"]
    return result


def post_all(port: int, jobs: Sequence[dict[str, Any]]) -> Callable[[], list[dict[str, Any]]]:
    """Submit jobs in one call; return a call that waits for all and gives their results, in the order of the jobs.

    Raises:
        RuntimeError: the bulk was refused, or, when called, a job ended without a result.
    """
    status, bulk = call(port, "POST", "/jobs/bulk", {"jobs": jobs})
    if status != HTTPStatus.ACCEPTED:
        raise RuntimeError(f"/jobs/bulk: {status} {bulk}")
    return lambda: _results_of(port, f"/jobs/bulk/{bulk['id']}")


def hang_up() -> None:
    """Close the connections of this thread."""
    for connection in _local.__dict__.pop("connections", {}).values():
        connection.close()


def _results_of(port: int, path: str) -> list[dict[str, Any]]:
    while (bulk := _got(port, path))["finished_at"] is None:
        time.sleep(POLL_SECONDS)
    if bulk["states"] != {"succeeded": bulk["total"]}:
        raise RuntimeError(f"{path}: {bulk['states']}")
    results: list[dict[str, Any]] = []
    after = -1
    while after is not None:
        page = _got(port, f"{path}/jobs?after={after}&limit={PAGE}")
        results += [job["result"] for job in page["jobs"]]
        after = page["next_after"]
    return results


def _got(port: int, path: str) -> dict[str, Any]:
    status, answer = call(port, "GET", path)
    if status != HTTPStatus.OK:
        raise RuntimeError(f"{path}: {status} {answer}")
    return answer


def call(
    port: int, method: str, path: str, body: dict[str, Any] | bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Send a request below /api/ml and return the status and the JSON of the answer; bytes are a zip."""
    connections: dict[int, http.client.HTTPConnection] = _local.__dict__.setdefault("connections", {})
    connection = connections.setdefault(port, http.client.HTTPConnection(HOST, port, timeout=60))
    packed = isinstance(body, bytes)
    content = body if packed or body is None else json.dumps(body)
    kind = "application/zip" if packed else "application/json"
    connection.request(method, f"/api/ml{path}", content, {"Content-Type": kind} | (headers or {}))
    response = connection.getresponse()
    return response.status, json.loads(response.read())
