"""Following the work on files in tests, and killing its worker."""

import csv
import io
import signal
from typing import Any

from tests.integration.stack import Answer, Stack, wait_until

CSV, NDJSON, PARQUET = (
    {"Content-Type": media_type}
    for media_type in ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
)


def accepted(answer: Answer) -> str:
    assert answer.status == 202, answer
    return str(answer.body["id"])


def work(stack: Stack, job_id: str) -> dict[str, Any]:
    answer = stack.call("GET", f"/api/ml/batches/{job_id}")
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def finished(stack: Stack, job_id: str, *, seconds: float = 60) -> dict[str, Any]:
    wait_until(lambda: work(stack, job_id)["finished_at"] is not None, seconds=seconds, what=stack.tail("batch"))
    return work(stack, job_id)


def succeeded(stack: Stack, job_id: str) -> dict[str, Any]:
    done = finished(stack, job_id)
    assert done["state"] == "succeeded", done["error"]
    return done


def started(stack: Stack, job_id: str) -> None:
    """Wait until a part is done."""
    wait_until(lambda: work(stack, job_id)["parts_done"] > 0, seconds=60, what=stack.tail("batch"))


def table(stack: Stack, job_id: str, role: str) -> list[dict[str, str]]:
    answer = stack.call("GET", f"/api/ml/jobs/{job_id}/files/{role}")
    assert answer.status == 200, answer
    return list(csv.DictReader(io.StringIO(answer.body)))


def kill_in_a_part(stack: Stack, job_id: str) -> None:
    """Kill the batch worker while it works on a part, with others done and others to do."""

    def stopped_in_a_part() -> bool:
        stack.signal("batch", signal.SIGSTOP)
        parts = stack.call("GET", f"/api/ml/jobs?parent_id={job_id}&state=running").body["jobs"]
        if not parts:
            stack.signal("batch", signal.SIGCONT)
        return bool(parts)

    started(stack, job_id)
    wait_until(stopped_in_a_part, seconds=20)
    stack.kill("batch")
    left = work(stack, job_id)
    assert left["state"] == "waiting"
    assert 0 < left["parts_done"] < left["parts"] - 1


def start_batch_worker(stack: Stack) -> None:
    stack.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)


def attempts(stack: Stack, job_id: str) -> list[int]:
    return [part["attempt"] for part in stack.call("GET", f"/api/ml/jobs?parent_id={job_id}&limit=500").body["jobs"]]
