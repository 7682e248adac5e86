"""A client that keeps its connection, one for each thread."""

import http.client
import json
import threading
from http import HTTPStatus
from typing import Any

from benchmarks.processes import HOST

_local = threading.local()


def post_and_wait(port: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Submit a job and return its result, which the server waits for.

    Raises:
        RuntimeError: the job did not succeed in time.
    """
    connections: dict[int, http.client.HTTPConnection] = _local.__dict__.setdefault("connections", {})
    connection = connections.setdefault(port, http.client.HTTPConnection(HOST, port, timeout=60))
    headers = {"Content-Type": "application/json", "Prefer": "wait=10"}
    connection.request("POST", f"/api/ml{path}", json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != HTTPStatus.OK or answer["state"] != "succeeded":
        raise RuntimeError(f"{path}: {response.status} {answer}")
    result: dict[str, Any] = answer["result"]
    return result
